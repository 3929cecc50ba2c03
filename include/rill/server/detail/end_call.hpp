// How a handler's end becomes a call's: its return, or what it throws.
#pragma once

#include "rill/coro/errors.hpp"
#include "rill/rpc/byte_stream.hpp"
#include "rill/rpc/status.hpp"
#include "rill/server/detail/report.hpp"
#include "rill/server/detail/server_side.hpp"

#include <exception>
#include <utility>

namespace rill::detail {

inline void end_call(server_side& side, status ended) {
  side.call().finish(side.malformed() ? server_side::malformed_status() : std::move(ended));
}

/// In a `catch (...)`: ends the call as the exception says.
inline void end_call_by_exception(server_side& side, const error_hook& hook) noexcept {
  server_call& call = side.call();
  const auto internal = [&](const char* text) {
    report(hook, call.path(), "threw", text);
    call.finish({status_code::INTERNAL, "internal error"});
  };
  try {
    throw;
  } catch (const status_error& error) {
    if (error.status().ok()) return internal("a status_error whose status is OK");
    for (const auto& [key, value] : error.trailing_metadata()) {
      call.trailing_metadata.append_received(key, value);
    }
    end_call(side, error.status());
  } catch (const operation_cancelled& cancelled) {
    const bool late = cancelled.reason() == cancel_reason::deadline;
    call.abort({late ? status_code::DEADLINE_EXCEEDED : status_code::CANCELLED, cancelled.what()});
  } catch (const timeout_error& late) {
    call.abort({status_code::DEADLINE_EXCEEDED, late.what()});
  } catch (const std::exception& error) {
    internal(error.what());
  } catch (...) {
    internal("an exception that is not a std::exception");
  }
}

}  // namespace rill::detail
