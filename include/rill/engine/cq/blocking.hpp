// run_blocking: runs a callable that blocks on a thread that may, so that the loop goes on.
// The threads come from an elastic pool, made on first use. Nothing here needs gRPC.
#pragma once

#include "rill/coro/cancellation.hpp"
#include "rill/coro/errors.hpp"
#include "rill/coro/task.hpp"
#include "rill/coro/task_context.hpp"
#include "rill/engine/cq/blocking_pool.hpp"

#include <coroutine>
#include <type_traits>
#include <utility>

namespace rill {

namespace detail {

template <class F>
decltype(auto) call_blocking(F& f, cancellation_token token) {
  if constexpr (std::is_invocable_v<F&, cancellation_token>) {
    return f(token);
  } else {
    return f();
  }
}

template <class F>
class [[nodiscard]] blocking_awaiter final : private blocking_job {
 public:
  using value_type = decltype(call_blocking(std::declval<F&>(), cancellation_token{}));

  blocking_awaiter(blocking_pool& on, F& f, const task_context& context) noexcept
      : blocking_job{on}, f_{f}, context_{context} {}
  ~blocking_awaiter() {
    if (suspended_) abandon();
  }

  [[nodiscard]] bool await_ready() const {
    context_.token.throw_if_cancelled();
    return false;
  }
  [[nodiscard]] bool await_suspend(std::coroutine_handle<> continuation) {
    suspended_ = true;
    return submit(context_, continuation);
  }
  value_type await_resume() {
    suspended_ = false;
    if (!leave()) {
      const cancel_reason why = context_.token.reason();
      throw operation_cancelled{why != cancel_reason::none ? why : cancel_reason::shutdown};
    }
    return result_.get();
  }

 private:
  void call() noexcept override {
    try {
      if constexpr (std::is_void_v<value_type>) {
        call_blocking(f_, context_.token);
      } else {
        result_.return_value(call_blocking(f_, context_.token));
      }
    } catch (...) {
      result_.unhandled_exception();
    }
  }

  F& f_;
  const task_context& context_;
  bool suspended_ = false;
  task_result<value_type> result_;
};

template <class F>
class [[nodiscard]] blocking_operation {
 public:
  template <class G>
  blocking_operation(blocking_pool& on, G&& f) : pool_{&on}, f_(std::forward<G>(f)) {}

  void rill_bind(task_context& context) noexcept { context_ = &context; }
  blocking_awaiter<F> operator co_await() && noexcept { return blocking_awaiter<F>{*pool_, f_, *context_}; }

 private:
  blocking_pool* pool_;
  F f_;
  const task_context* context_ = nullptr;
};

}  // namespace detail

template <class F>
detail::blocking_operation<std::decay_t<F>> blocking_pool::run(F&& f) {
  static_assert(
      std::is_invocable_v<std::decay_t<F>&> || std::is_invocable_v<std::decay_t<F>&, cancellation_token>,
      "rill: run_blocking takes a callable without arguments, or with a cancellation_token");
  return {*this, std::forward<F>(f)};
}

/// Runs `f` on a thread that may block, and resumes the task on its home.
///
/// `f` is called without arguments, or with the task's `cancellation_token` if it takes one: then it can look at it, and
/// return early. *Completes* with what `f` returns, or throws what it throws.
/// *Cancellation*: if `f` has not begun, it never does, and `operation_cancelled` is thrown; if it has, its end is awaited
/// and its result is given. *Lifetime*: what `f` refers to need live no longer than the await; a home that is destroyed
/// meanwhile waits for `f`.
template <class F>
[[nodiscard]] auto run_blocking(F&& f) {
  return blocking_pool::shared().run(std::forward<F>(f));
}

}  // namespace rill
