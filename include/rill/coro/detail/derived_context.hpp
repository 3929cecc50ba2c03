// Awaiting something under a context that is derived from the awaiter's: what all the with_... functions are made of.
#pragma once

#include "rill/coro/detail/awaitable.hpp"
#include "rill/coro/detail/linked_source.hpp"
#include "rill/coro/task_context.hpp"

#include <coroutine>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace rill::detail {

/// Runs an `A` under the context that a `Derivation` makes. A derivation is made in place from the outer context and
/// a recipe, and has:
/// - `task_context& context()`: the derived one;
/// - `void start()`: called just before `A` may suspend;
/// - `void stop()`: called once `A` has ended, and also by the derivation's destructor, which runs after `A` is gone;
/// - `[[noreturn]] void rethrow_cancelled()`, inside a handler, if its awaiter shall see something else instead.
template <class Derivation, class A>
class [[nodiscard]] derived_awaiter {
 public:
  template <class Recipe>
  derived_awaiter(task_context& outer, Recipe& recipe, A&& inner)
      : derivation_{outer, recipe},
        inner_{std::forward<A>(inner)},
        awaiter_{bind(derivation_.context(), std::forward<A>(inner_))} {}
  derived_awaiter(const derived_awaiter&) = delete;
  derived_awaiter& operator=(const derived_awaiter&) = delete;

  [[nodiscard]] bool await_ready() { return awaiter_.await_ready(); }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> awaiting) {
    require_context<Promise>();
    derivation_.start();
    return awaiter_.await_suspend(awaiting);
  }
  decltype(auto) await_resume() {
    derivation_.stop();
    if constexpr (requires { derivation_.rethrow_cancelled(); }) {
      try {
        return awaiter_.await_resume();
      } catch (const operation_cancelled&) {
        derivation_.rethrow_cancelled();
      }
    } else {
      return awaiter_.await_resume();
    }
  }

 private:
  static decltype(auto) bind(task_context& context, A&& inner) {
    inner.rill_bind(context);
    return awaiter_of(std::forward<A>(inner));
  }

  Derivation derivation_;
  A inner_;
  decltype(awaiter_of(std::declval<A>())) awaiter_;
};

/// What a `with_...` function returns: a recipe for the derived context, and what to await under it.
template <class Derivation, class Recipe, class A>
class [[nodiscard]] derived_awaitable {
  static_assert(awaitable<A>, "rill: this is not something that a rill coroutine can await");

 public:
  derived_awaitable(Recipe recipe, A&& inner) : recipe_{std::move(recipe)}, inner_{std::forward<A>(inner)} {}

  void rill_bind(task_context& context) noexcept { outer_ = &context; }
  auto operator co_await() && {
    return derived_awaiter<Derivation, A>{*outer_, recipe_, std::forward<A>(inner_)};
  }

 private:
  task_context* outer_ = nullptr;
  Recipe recipe_;
  A inner_;
};

/// A derivation's own cancellation, and a timer of the home that trips it.
class timed_derivation : private timer_node {
 public:
  /// `due` may have passed already, then everything is cancelled from the start; `never` arms nothing.
  timed_derivation(const task_context& outer, std::int64_t due_at) noexcept
      : timer_node{&fire}, source_{outer.token}, context_{outer} {
    due = due_at;
    context_.token = source_.token();
  }
  timed_derivation(const timed_derivation&) = delete;
  timed_derivation& operator=(const timed_derivation&) = delete;
  ~timed_derivation() { stop(); }

  [[nodiscard]] task_context& context() noexcept { return context_; }
  void start() noexcept {
    if (due == never) return;
    if (due <= context_.home->now()) {
      fire(*this);
    } else {
      armed_ = true;
      context_.home->add_timer(*this);
    }
  }
  void stop() noexcept {
    if (std::exchange(armed_, false)) context_.home->cancel_timer(*this);
  }
  /// Whether it was this timer that tripped the context's token, and nothing else before it.
  [[nodiscard]] bool timed_out() const noexcept { return timed_out_; }

 private:
  static void fire(timer_node& timer) noexcept {
    auto& self = static_cast<timed_derivation&>(timer);
    self.armed_ = false;
    self.timed_out_ = self.source_.cancel(cancel_reason::deadline);
  }

  linked_source source_;
  task_context context_;
  bool armed_ = false;
  bool timed_out_ = false;
};

}  // namespace rill::detail
