// A loop whose clock jumps to the next timer when there is nothing else to do, and run(), which runs a test on one.
// A test of an hour takes no time, gives the same order every time, and one that nothing can wake fails instead of hanging.
#pragma once

#include "rill/coro/cancellation.hpp"
#include "rill/coro/detail/root.hpp"
#include "rill/coro/detail/run_loop.hpp"
#include "rill/coro/task.hpp"
#include "rill/coro/task_context.hpp"

#include <atomic>
#include <cstdint>
#include <exception>
#include <type_traits>
#include <utility>

namespace rill::testing {

/// Thrown by `run` when every task waits and nothing is left that could wake one.
class deadlock_error : public std::exception {
 public:
  [[nodiscard]] const char* what() const noexcept override {
    return "rill: deadlock in virtual time: the test has not ended, nothing is posted and no timer is "
           "pending";
  }
};

/// A home with virtual time, run by the thread that calls `run_until`. Its clock starts at the steady clock's time.
class virtual_time_loop final : public rill::detail::run_loop {
 public:
  [[nodiscard]] std::int64_t now() const noexcept override { return now_.load(std::memory_order_relaxed); }

  /// Runs until `done` is true: gives true then, and false if nothing is left that could make it so.
  bool run_until(bool& done) noexcept {
    bool* const outer = std::exchange(done_, &done);
    stuck_ = false;
    run_loop::run_until(done);
    done_ = outer;
    return !std::exchange(stuck_, false);
  }
  /// Frees every task that is suspended here. *Concurrency*: not from one of them.
  void abandon_tasks() noexcept { destroy_roots(); }

 private:
  friend class outside_work;

  void park(std::int64_t due) noexcept override {
    if (outside_.load(std::memory_order_acquire) != 0) {
      run_loop::park(rill::detail::never);
    } else if (due != rill::detail::never) {
      now_.store(due, std::memory_order_relaxed);
    } else {
      stuck_ = *done_ = true;
    }
  }

  std::atomic<std::int64_t> now_{rill::detail::steady_now()};
  std::atomic<int> outside_{0};
  bool* done_ = nullptr;
  bool stuck_ = false;
};

/// While it lives, virtual time stands still whenever the loop has nothing to do, and the loop waits for other threads:
/// for tests that have work done outside the loop. No effect on a home without virtual time.
/// *Concurrency*: made and destroyed on the loop.
class outside_work {
 public:
  explicit outside_work(const task_context& context) noexcept
      : loop_{dynamic_cast<virtual_time_loop*>(context.home)} {
    if (loop_ != nullptr) loop_->outside_.fetch_add(1, std::memory_order_relaxed);
  }
  outside_work(const outside_work&) = delete;
  outside_work& operator=(const outside_work&) = delete;
  ~outside_work() {
    if (loop_ != nullptr) loop_->outside_.fetch_sub(1, std::memory_order_release);
  }

 private:
  virtual_time_loop* loop_;
};

namespace internal {

template <class T>
rill::detail::root run_root(task<T>& work, rill::detail::task_result<T>& result, bool& done) {
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

}  // namespace internal

/// Runs `work` on `loop` until it has ended, and gives its value or throws its exception.
/// *Throws*: `deadlock_error` if `work` can never end; it is cancelled first, so that it unwinds.
template <class T>
T run_on(virtual_time_loop& loop, task<T> work) {
  rill::detail::task_result<T> result;
  cancellation_source stop;
  bool done = false;
  task_context context;
  context.home = &loop;
  context.token = stop.token();
  internal::run_root(work, result, done).post(context);
  if (loop.run_until(done)) return result.get();
  stop.cancel();
  done = false;
  if (!loop.run_until(done)) loop.abandon_tasks();
  throw deadlock_error{};
}

/// The same on a loop of its own, on the calling thread.
template <class T>
T run(task<T> work) {
  virtual_time_loop loop;
  return run_on(loop, std::move(work));
}

}  // namespace rill::testing
