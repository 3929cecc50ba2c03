// What a client call begins with, put together from its options and the context of the task that makes it.
#pragma once

#include "rill/coro/task_context.hpp"
#include "rill/rpc/byte_stream.hpp"
#include "rill/rpc/call_options.hpp"
#include "rill/rpc/metadata.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

namespace rill::detail {

/// The earliest of the context's deadline and the call's own.
inline std::int64_t call_deadline(const call_options& options, const task_context& context) noexcept {
  std::int64_t earliest = context.deadline;
  if (options.deadline != std::chrono::steady_clock::time_point::max()) {
    const std::int64_t moment =
        std::chrono::duration_cast<std::chrono::nanoseconds>(options.deadline.time_since_epoch()).count();
    if (moment < earliest) earliest = moment;
  }
  if (options.timeout.count() > 0) {
    const std::int64_t now = context.home->now();
    const std::int64_t left = options.timeout.count();
    if (left < never - now && now + left < earliest) earliest = now + left;
  }
  return earliest;
}

/// A call that is yet to be made.
struct call_setup {
  call_setup(std::shared_ptr<rill::connector> to, std::string_view method, method_kind shape,
             const call_options& how) noexcept
      : connector{std::move(to)}, path{method}, kind{shape}, options{how} {}

  client_call& open(const task_context& context) const {
    call_head head;
    head.path = path;
    head.kind = kind;
    head.deadline = call_deadline(options, context);
    head.metadata = options.metadata;
    head.wait_for_ready = options.wait_for_ready;
    head.compression = options.compression;
    head.max_receive = options.max_receive_size;
    head.max_send = options.max_send_size;
    head.queue = options.queue;
    head.credentials = options.credentials;
    return connector->open(head, *context.home);
  }

  std::shared_ptr<rill::connector> connector;
  std::string_view path;
  method_kind kind;
  call_options options;
};

inline status malformed_response() { return {status_code::INTERNAL, "the response could not be parsed"}; }
inline status wrong_number_of_responses() {
  return {status_code::UNIMPLEMENTED, "the server did not send exactly one response"};
}

}  // namespace rill::detail
