// co_await rill::yield(): lets everything else that is ready on this home run first.
#pragma once

#include "rill/coro/detail/promise_base.hpp"
#include "rill/coro/task_context.hpp"

#include <coroutine>

namespace rill {

namespace detail {

class [[nodiscard]] yield_awaiter : private work_item {
 public:
  yield_awaiter() noexcept : work_item{&resume} {}
  yield_awaiter(yield_awaiter&& other) noexcept : work_item{&resume}, context_{other.context_} {}

  void rill_bind(task_context& context) noexcept { context_ = &context; }
  [[nodiscard]] bool await_ready() const {
    context_->token.throw_if_cancelled();
    return false;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> continuation) noexcept {
    require_context<Promise>();
    continuation_ = continuation;
    task = context_->name;
    context_->home->post(*this);
  }
  void await_resume() const { context_->token.throw_if_cancelled(); }

 private:
  static void resume(work_item& item, bool run) noexcept {
    if (run) static_cast<yield_awaiter&>(item).continuation_.resume();
  }

  task_context* context_ = nullptr;
  std::coroutine_handle<> continuation_;
};

}  // namespace detail

/// Goes to the end of the home's queue. For long computations between waits.
/// *Cancellation*: looked at before and after.
inline detail::yield_awaiter yield() noexcept { return {}; }

}  // namespace rill
