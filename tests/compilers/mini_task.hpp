// The smallest lazy task and the counters that the programs of this folder need; no rill header, so that what they
// pin is the compiler's doing alone.
#pragma once

#include <coroutine>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <utility>

namespace mini {

/// Counts constructions and destructions; in a correct program `balance()` ends at zero.
class tracked {
 public:
  tracked() noexcept { ++constructed; }
  tracked(const tracked&) noexcept { ++constructed; }
  tracked(tracked&&) noexcept { ++constructed; }
  tracked& operator=(const tracked&) noexcept = default;
  tracked& operator=(tracked&&) noexcept = default;
  ~tracked() { ++destroyed; }

  static int balance() noexcept { return constructed - destroyed; }
  static inline int constructed = 0;
  static inline int destroyed = 0;
};

template <class T>
class task {
 public:
  struct promise_type {
    struct final_awaiter {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) noexcept {
        if (done.promise().continuation) return done.promise().continuation;
        return std::noop_coroutine();
      }
      void await_resume() noexcept {}
    };
    task get_return_object() noexcept {
      return task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    final_awaiter final_suspend() noexcept { return {}; }
    template <class U>
    void return_value(U&& result) {
      value.emplace(std::forward<U>(result));
    }
    void unhandled_exception() noexcept { std::terminate(); }

    std::coroutine_handle<> continuation;
    std::optional<T> value;
  };

  explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
  task(task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  task& operator=(task&&) = delete;
  ~task() {
    if (frame_) frame_.destroy();
  }

  /// Runs the task from ordinary code; empty if it stopped without a result.
  std::optional<T> run() {
    frame_.resume();
    return frame_.promise().value;
  }

  bool await_ready() noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
    frame_.promise().continuation = awaiting;
    return frame_;
  }
  T await_resume() { return std::move(*frame_.promise().value); }

 private:
  std::coroutine_handle<promise_type> frame_;
};

/// Compares what was seen with what this compiler is known to do, and prints both.
inline int verdict(const char* what, bool seen, bool expected) {
  std::printf("%s: %s, expected %s\n", what, seen ? "yes" : "no", expected ? "yes" : "no");
  return seen == expected ? 0 : 1;
}

#if defined(__clang__)
inline constexpr bool gcc_12 = false;
#elif defined(__GNUC__) && __GNUC__ == 12
inline constexpr bool gcc_12 = true;
#else
#error "the programs of this folder know GCC 12 and Clang only"
#endif

}  // namespace mini
