// What a server needs for handlers that run on a home of their own, such as on an Asio executor. Only a program that
// has such handlers includes it, as rill.hpp does: the relay behind it costs compile time.
#pragma once

#include "rill/rpc/homed_handler.hpp"
#include "rill/rpc/server_relay.hpp"
#include "rill/server/handler.hpp"

#include <memory>
#include <type_traits>
#include <utility>

namespace rill::detail {

template <class F>
using homed_function = std::remove_reference_t<decltype(std::declval<F&>().rill_handler())>;

/// A homed handler as a method table keeps it. Calls share it, because one may end after the server has.
template <class F>
struct homed_box : std::enable_shared_from_this<homed_box<F>> {
  homed_box(F&& from, const std::shared_ptr<error_hook>& hook)
      : handler{std::move(from)}, box{handler.rill_handler(), hook} {}
  homed_box(const homed_box&) = delete;
  homed_box& operator=(const homed_box&) = delete;

  F handler;
  handler_box<homed_function<F>&> box;
};

template <auto M, class F>
void start_homed_call(server_call& call, void* handler) noexcept {
  auto& kept = *static_cast<homed_box<F>*>(handler);
  try {
    start_relayed(call, kept.handler.rill_home(), &start_call<M, homed_function<F>&>,
                  std::shared_ptr<void>{kept.shared_from_this(), &kept.box});
  } catch (...) {
    call.abort({status_code::UNAVAILABLE, "the handler's home has ended"});
  }
}

}  // namespace rill::detail
