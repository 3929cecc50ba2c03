// use_task: a completion token that makes any Asio operation awaitable in a rill task.
#pragma once

#include "rill/asio/detail/async_operation.hpp"
#include "rill/asio/detail/names.hpp"

#include <asio/async_result.hpp>
#include <asio/error_code.hpp>

#include <exception>
#include <tuple>
#include <type_traits>
#include <utility>

namespace rill {

/// The type of `use_task` and `use_task_tuple`.
template <bool Throws>
class use_task_t {
 public:
  constexpr use_task_t() noexcept = default;
};

/// `co_await timer.async_wait(rill::use_task)`: awaits an Asio operation in a rill task, whose home may be an executor, a
/// loop or anything else.
///
/// *Completes* with what the operation gives: nothing, a value, or a tuple of several.
/// *Cancellation*: emits on the operation's cancellation slot, and waits for the operation to end. A value that it gives
/// nevertheless is delivered. *Throws*: `std::system_error` for an error code, the exception of a `std::exception_ptr`,
/// `operation_cancelled` if the task was cancelled.
/// *Lifetime*: the operation starts when it is awaited, in the expression that makes it. If the operation's context is
/// destroyed first, it ends with `asio::error::operation_aborted`.
inline constexpr use_task_t<true> use_task;

/// The same, giving everything that the operation completes with as a tuple, error codes and exceptions included:
/// `auto [error, size] = co_await socket.async_read_some(buffer, rill::use_task_tuple);`
inline constexpr use_task_t<false> use_task_tuple;

}  // namespace rill

namespace asio {

template <bool Throws, class R, class... Args>
class async_result<rill::use_task_t<Throws>, R(Args...)> {
 public:
  using return_type = void;  // what old Asio wants to see; `initiate` has the real one

  template <class Initiation, class... InitArgs>
  static auto initiate(Initiation&& initiation, rill::use_task_t<Throws>, InitArgs&&... arguments) {
    return rill::detail::async_operation<Throws, rill::detail::async_signature<std::decay_t<Args>...>,
                                         std::decay_t<Initiation>, std::decay_t<InitArgs>...>{
        std::forward<Initiation>(initiation), std::forward<InitArgs>(arguments)...};
  }
};

}  // namespace asio
