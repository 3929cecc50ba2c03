// as_result: a call's value or status, instead of a status_error.
#pragma once

#include "rill/client/detail/client_side.hpp"
#include "rill/client/unary_call.hpp"
#include "rill/coro/detail/awaitable.hpp"
#include "rill/coro/task.hpp"
#include "rill/rpc/status.hpp"

#include <coroutine>
#include <type_traits>
#include <utility>

namespace rill {

namespace detail {

/// A unary call that is awaited for its result.
template <class Call>
class [[nodiscard]] unary_result {
 public:
  explicit unary_result(Call& call) noexcept : call_{call} {}

  void rill_bind(task_context& context) { call_.rill_bind(context); }
  auto operator co_await() const noexcept { return awaiter{call_}; }

 private:
  class awaiter : public unary_awaiter<Call> {
   public:
    using unary_awaiter<Call>::unary_awaiter;
    [[nodiscard]] auto await_resume() const { return this->call_.take_result(); }
  };

  Call& call_;
};

template <class A>
using plain_result_t = std::remove_cvref_t<await_result_t<A>>;

template <class A>
task<result<plain_result_t<A>>> caught_result(A work) {
  try {
    if constexpr (std::is_void_v<plain_result_t<A>>) {
      co_await std::move(work);
      co_return status();
    } else {
      co_return co_await std::move(work);
    }
  } catch (const status_error& error) {
    co_return error.status();
  }
}

}  // namespace detail

/// `co_await as_result(call)` gives a `result`: the response, or the status that stands in its place.
/// *Cancellation*: as the call. *Lifetime*: of a call with a name: as long as it is awaited.
template <class Response, class Held>
auto as_result(unary_call<Response, Held>& call) noexcept {
  return detail::unary_result<unary_call<Response, Held>>{call};
}
template <class Response, class Held>
auto as_result(unary_call<Response, Held>&& call) noexcept {
  return detail::unary_result<unary_call<Response, Held>>{call};
}
/// As above for a streaming call's `finish`.
template <class T>
task<result<T>> as_result(finish_call<T>&& call) noexcept {
  return std::move(call).take_work();
}
/// As above for any other awaitable: what it throws as `status_error` is given as the result's status.
template <class A>
  requires detail::awaitable<A> && (!std::is_lvalue_reference_v<A>)
auto as_result(A&& work) {
  return detail::caught_result<A>(std::move(work));
}

}  // namespace rill
