// What every coroutine of rill shares: pooled frames, a context, and which awaitables it accepts.
#pragma once

#include "rill/coro/detail/config.hpp"
#include "rill/coro/detail/frame_pool.hpp"
#include "rill/coro/operation.hpp"
#include "rill/coro/task_context.hpp"

#include <coroutine>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace rill::detail {

/// An awaitable that takes the context of the task that awaits it, before anything else of it is called.
/// This is the extension point for awaitables of one's own: they promise to resume on `context.home` only.
template <class A>
concept context_awaitable = requires(A& awaitable, task_context& context) { awaitable.rill_bind(context); };

/// Whether the awaiter is another object than the awaitable.
template <class A>
concept makes_awaiter = requires(A&& awaitable) { static_cast<A&&>(awaitable).operator co_await(); } ||
                        requires(A&& awaitable) { operator co_await(static_cast<A&&>(awaitable)); };

/// Stands for an awaitable that is its own awaiter, because GCC 12 moves a temporary one after it was bound.
template <class A>
class [[nodiscard]] awaiter_reference {
 public:
  explicit awaiter_reference(A& awaiter) noexcept : awaiter_{awaiter} {}
  [[nodiscard]] bool await_ready() { return awaiter_.await_ready(); }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> awaiting) {
    return awaiter_.await_suspend(awaiting);
  }
  decltype(auto) await_resume() { return awaiter_.await_resume(); }

 private:
  A& awaiter_;
};

template <class>
inline constexpr bool always_false = false;

/// Whether a `T&&` parameter could be bound to a temporary that the compiler destroys twice. A lambda among the `T`s
/// cannot be told from another class.
template <class T>
inline constexpr bool unsafe_callable =
    broken_temporaries && !std::is_lvalue_reference_v<T> && !std::is_trivially_destructible_v<T>;
template <class T>
inline constexpr bool unsafe_value = unsafe_callable<T> && std::is_aggregate_v<std::remove_cvref_t<T>>;

/// Base of the promises of `task`, `async_generator` and roots.
class promise_base {
 public:
  static void* operator new(std::size_t size) { return frame_pool::allocate(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { frame_pool::deallocate(frame, size); }

  [[nodiscard]] task_context* rill_context() const noexcept { return context_; }
  void rill_bind(task_context& context) noexcept { context_ = &context; }

  template <class A>
  decltype(auto) await_transform(A&& awaitable) {
    using plain = std::remove_cvref_t<A>;
    if constexpr (claimable<plain>) {
      awaitable.rill_bind(*context_);
      return make_awaiter(awaitable);
    } else if constexpr (context_awaitable<plain>) {
      awaitable.rill_bind(*context_);
      if constexpr (makes_awaiter<A>) {
        return static_cast<A&&>(awaitable);
      } else if constexpr (makes_awaiter<plain>) {
        static_assert(always_false<A>, "rill: this can be awaited only once; write co_await std::move(...)");
      } else {
        return awaiter_reference<plain>{awaitable};
      }
    } else {
      static_assert(
          always_false<A>,
          "rill: a rill coroutine cannot await this type, because it might resume on a foreign thread; "
          "bridge it with rill::event, rill::channel or (for Asio) rill::use_task");
    }
  }

 protected:
  promise_base() noexcept = default;
  ~promise_base() = default;

  task_context* context_ = nullptr;
};

/// Whether a coroutine with this promise can await tasks.
template <class Promise>
concept context_promise = std::is_base_of_v<promise_base, Promise>;

/// For `await_suspend` of whatever needs `rill_bind` to have been called.
template <class Promise>
constexpr void require_context() noexcept {
  static_assert(
      context_promise<Promise>,
      "rill: only a rill coroutine (task, async_generator) can await this, because it needs a context; start "
      "it with rill::sync_wait, rill::spawn or rill::async_run instead");
}

}  // namespace rill::detail
