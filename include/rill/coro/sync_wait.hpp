// sync_wait: runs a task to its end on the calling thread.
#pragma once

#include "rill/coro/detail/awaitable.hpp"
#include "rill/coro/detail/root.hpp"
#include "rill/coro/detail/run_loop.hpp"
#include "rill/coro/task.hpp"

#include <type_traits>
#include <utility>

namespace rill {

namespace detail {

template <class A, class T>
root sync_wait_root(A& work, task_result<T>& result, bool& done) {
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(work);
    } else {
      result.return_value(co_await std::move(work));
    }
  } catch (...) {
    result.unhandled_exception();
  }
  done = true;
}

/// Runs `work` on `loop` until it has ended.
template <class A>
  requires(awaitable<A> && !std::is_lvalue_reference_v<A>)
await_result_t<A> run_on(run_loop& loop, A work, task_context context) {
  task_result<await_result_t<A>> result;
  bool done = false;
  context.home = &loop;
  sync_wait_root(work, result, done).post(context);
  loop.run_until(done);
  return result.get();
}

}  // namespace detail

/// Runs `work`, a task or what a combinator returns, on the calling thread, which sleeps while `work` waits.
/// Gives its value or throws its exception.
/// *Cancellation*: by `token`. *Concurrency*: never call it on a loop's thread: it blocks the loop.
template <class A>
  requires(detail::awaitable<A> && !std::is_lvalue_reference_v<A>)
detail::await_result_t<A> sync_wait(A work, cancellation_token token = {}) {
  detail::run_loop loop;
  task_context context;
  context.token = token;
  return detail::run_on(loop, std::move(work), context);
}

}  // namespace rill
