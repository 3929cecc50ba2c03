// task<T>: a lazily started coroutine that is awaited once and inherits its awaiter's context.
#pragma once

#include "rill/coro/detail/promise_base.hpp"
#include "rill/coro/errors.hpp"

#include <coroutine>
#include <cstdint>
#include <exception>
#include <new>
#include <type_traits>
#include <utility>

namespace rill {

template <class T>
class task;

namespace detail {

/// How a task and its awaiter meet. `starting`: the awaiter is still in `await_suspend`, so the task's end only sets
/// `ended`; `suspended`: the task's end resumes the awaiter.
enum class task_phase : std::uint8_t { starting, suspended, ended };

class task_promise_base : public promise_base {
 public:
  template <bool TailTransfer>
  struct final_awaiter {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_resume() const noexcept {}
    template <class Promise>
    auto await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
      task_promise_base& promise = ended.promise();
      if constexpr (TailTransfer) {
        if (promise.phase_ != task_phase::suspended) {
          promise.phase_ = task_phase::ended;
          return std::coroutine_handle<>{std::noop_coroutine()};
        }
        return promise.continuation_;
      } else {
        if (promise.phase_ != task_phase::suspended) {
          promise.phase_ = task_phase::ended;
        } else {
          promise.continuation_.resume();
        }
      }
    }
  };

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] final_awaiter<tail_transfer> final_suspend() const noexcept { return {}; }

  std::coroutine_handle<> continuation_;
  task_phase phase_ = task_phase::starting;
};

/// A task's result: nothing yet, a value, or an exception.
template <class T>
class task_result {
  using stored = std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>;
  enum class state : std::uint8_t { empty, value, error };

 public:
  task_result() noexcept {}
  task_result(const task_result&) = delete;
  task_result& operator=(const task_result&) = delete;
  ~task_result() {
    if (state_ == state::value) {
      value_.~stored();
    } else if (state_ == state::error) {
      error_.~exception_ptr();
    }
  }

  template <class U = T>
    requires std::is_convertible_v<U&&, T>
  void return_value(U&& value) {
    if constexpr (std::is_reference_v<T>) {
      ::new (static_cast<void*>(std::addressof(value_))) stored{std::addressof(value)};
    } else {
      ::new (static_cast<void*>(std::addressof(value_))) stored(std::forward<U>(value));
    }
    state_ = state::value;
  }
  void unhandled_exception() noexcept {
    ::new (static_cast<void*>(std::addressof(error_))) std::exception_ptr{std::current_exception()};
    state_ = state::error;
  }
  [[nodiscard]] T get() {
    if (state_ == state::error) std::rethrow_exception(std::move(error_));
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*value_);
    } else {
      return std::move(value_);
    }
  }

 private:
  union {
    stored value_;
    std::exception_ptr error_;
  };
  state state_ = state::empty;
};

template <>
class task_result<void> {
 public:
  void return_void() const noexcept {}
  void unhandled_exception() noexcept { error_ = std::current_exception(); }
  void get() {
    if (error_) std::rethrow_exception(std::move(error_));
  }

 private:
  std::exception_ptr error_;
};

template <class T>
class task_promise final : public task_promise_base, public task_result<T> {
 public:
  task<T> get_return_object() noexcept;
};

/// Runs a task on behalf of a coroutine that awaits it, and owns it: a task that is abandoned together with its
/// awaiter, wherever the `task` object was, must not be resumed any more.
template <class T, bool TailTransfer>
class task_awaiter {
 public:
  explicit task_awaiter(std::coroutine_handle<task_promise<T>> child) noexcept : child_{child} {}
  task_awaiter(const task_awaiter&) = delete;
  task_awaiter& operator=(const task_awaiter&) = delete;
  ~task_awaiter() { child_.destroy(); }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> parent) const {
    require_context<Promise>();
    task_promise<T>& promise = child_.promise();
    promise.continuation_ = parent;
    if constexpr (TailTransfer) {
      promise.phase_ = task_phase::suspended;
      return std::coroutine_handle<>{child_};
    } else {
      child_.resume();
      if (promise.phase_ == task_phase::ended) return false;
      promise.phase_ = task_phase::suspended;
      return true;
    }
  }
  T await_resume() const { return child_.promise().get(); }

 private:
  std::coroutine_handle<task_promise<T>> child_;
};

}  // namespace detail

/// An asynchronous computation that gives a `T`. It starts when it is awaited, and its awaiter owns it.
///
/// Awaiting it gives its value or throws its exception. It inherits the context of its awaiter: home, cancellation,
/// deadline and values. Make one by writing a coroutine that returns it.
/// *Lifetime*: arguments taken by reference must live until it has ended, as for any coroutine.
/// *Throws*: `usage_error` when awaited a second time, or after a move.
template <class T = void>
class [[nodiscard]] task {
 public:
  using promise_type = detail::task_promise<T>;
  using value_type = T;

  task(task&& other) noexcept : coroutine_{std::exchange(other.coroutine_, nullptr)} {}
  task& operator=(task&& other) noexcept {
    if (this != &other) {
      reset();
      coroutine_ = std::exchange(other.coroutine_, nullptr);
    }
    return *this;
  }
  ~task() { reset(); }

  /// Whether there is a coroutine: false after a move, and once it is awaited.
  explicit operator bool() const noexcept { return coroutine_ != nullptr; }

  auto operator co_await() && noexcept {
    return detail::task_awaiter<T, detail::tail_transfer>{std::exchange(coroutine_, nullptr)};
  }
  /// A task is awaited once: write `co_await std::move(work)`.
  void operator co_await() & = delete;

  void rill_bind(task_context& context) {
    if (coroutine_ == nullptr) throw usage_error{"rill: this task was moved from or awaited before"};
    coroutine_.promise().rill_bind(context);
  }

 private:
  friend class detail::task_promise<T>;
  explicit task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_{coroutine} {}
  void reset() noexcept {
    if (auto coroutine = std::exchange(coroutine_, nullptr)) coroutine.destroy();
  }

  std::coroutine_handle<promise_type> coroutine_;
};

template <class T>
task<T> detail::task_promise<T>::get_return_object() noexcept {
  return task<T>{std::coroutine_handle<task_promise>::from_promise(*this)};
}

}  // namespace rill
