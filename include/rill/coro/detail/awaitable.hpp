// What the combinators need to know of an awaitable: whether a rill coroutine can await it, and what it gives.
#pragma once

#include "rill/coro/detail/promise_base.hpp"
#include "rill/coro/operation.hpp"

#include <type_traits>
#include <utility>

namespace rill::detail {

/// What a rill coroutine can await: operations, tasks, generators' `next`, and what the combinators return. Not a task
/// that has a name, unless it is moved from.
template <class A>
concept awaitable =
    claimable<std::remove_cvref_t<A>> || (context_awaitable<std::remove_cvref_t<A>> &&
                                          (makes_awaiter<A> || !makes_awaiter<std::remove_cvref_t<A>>));

/// The awaiter of an awaitable that has its context: a new object, or the awaitable itself.
template <class A>
decltype(auto) awaiter_of(A&& bound) {
  if constexpr (claimable<std::remove_cvref_t<A>>) {
    return make_awaiter(bound);
  } else if constexpr (requires { static_cast<A&&>(bound).operator co_await(); }) {
    return static_cast<A&&>(bound).operator co_await();
  } else if constexpr (requires { operator co_await(static_cast<A&&>(bound)); }) {
    return operator co_await(static_cast<A&&>(bound));
  } else {
    return (bound);
  }
}

/// What `co_await` of an `A` gives.
template <class A>
using await_result_t = decltype(awaiter_of(std::declval<A>()).await_resume());

}  // namespace rill::detail
