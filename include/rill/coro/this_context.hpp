// co_await rill::this_context(): what the current task runs under.
#pragma once

#include "rill/coro/detail/promise_base.hpp"
#include "rill/coro/task_context.hpp"

#include <coroutine>

namespace rill {

namespace detail {

class [[nodiscard]] this_context_awaiter {
 public:
  this_context_awaiter() noexcept {}
  void rill_bind(task_context& context) noexcept { context_ = &context; }
  [[nodiscard]] bool await_ready() const noexcept { return true; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise>) const noexcept {
    require_context<Promise>();
  }
  [[nodiscard]] task_context& await_resume() const noexcept { return *context_; }

 private:
  task_context* context_ = nullptr;
};

}  // namespace detail

/// Gives the awaiting task's context, without suspending.
inline detail::this_context_awaiter this_context() noexcept { return {}; }

}  // namespace rill
