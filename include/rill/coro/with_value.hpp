// with_value and context_value: typed values, such as an identity or a trace, that flow along with the context.
#pragma once

#include "rill/coro/detail/derived_context.hpp"

#include <coroutine>
#include <type_traits>
#include <utility>

namespace rill {

namespace detail {

template <class T>
class value_derivation {
 public:
  value_derivation(const task_context& outer, const T& value) noexcept
      : node_{&type_key<T>, &value, outer.values}, context_{outer} {
    context_.values = &node_;
  }
  value_derivation(const value_derivation&) = delete;
  value_derivation& operator=(const value_derivation&) = delete;

  [[nodiscard]] task_context& context() noexcept { return context_; }
  void start() const noexcept {}
  void stop() const noexcept {}

 private:
  context_value node_;
  task_context context_;
};

template <class T>
class [[nodiscard]] context_value_awaiter {
 public:
  context_value_awaiter() noexcept {}
  void rill_bind(task_context& context) noexcept { context_ = &context; }
  [[nodiscard]] bool await_ready() const noexcept { return true; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise>) const noexcept {
    require_context<Promise>();
  }
  [[nodiscard]] const T* await_resume() const noexcept { return context_->find<T>(); }

 private:
  task_context* context_ = nullptr;
};

}  // namespace detail

/// Awaits `work` with `value`, of which it keeps a copy, in its context; there it hides an outer value of its type.
/// *Completes* when `work` has ended, with its value or exception.
template <class T, class A>
auto with_value(T value, A&& work) {
  return detail::derived_awaitable<detail::value_derivation<T>, T, A>{std::move(value),
                                                                      std::forward<A>(work)};
}

/// `co_await context_value<T>()` gives the innermost value of type `T` in the context, or null. It does not suspend.
/// *Lifetime*: as long as the `with_value` that it comes from.
template <class T>
detail::context_value_awaiter<T> context_value() noexcept {
  return {};
}

}  // namespace rill
