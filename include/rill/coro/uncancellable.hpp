// uncancellable: clean-up that must run to its end in a task that is cancelled already.
#pragma once

#include "rill/coro/detail/derived_context.hpp"

#include <utility>

namespace rill {

namespace detail {

struct no_recipe {};

class uncancellable_derivation {
 public:
  uncancellable_derivation(const task_context& outer, no_recipe) noexcept : context_{outer} {
    context_.token = {};
    context_.deadline = never;
  }

  [[nodiscard]] task_context& context() noexcept { return context_; }
  void start() const noexcept {}
  void stop() const noexcept {}

 private:
  task_context context_;
};

}  // namespace detail

/// Awaits `work` under a context that has no cancellation and no deadline; its values stay.
/// *Completes* when `work` has ended, with its value or exception. *Cancellation*: none; give it a limit with
/// `uncancellable(with_timeout(...))` if it could last.
template <class A>
auto uncancellable(A&& work) {
  return detail::derived_awaitable<detail::uncancellable_derivation, detail::no_recipe, A>{
      detail::no_recipe{}, std::forward<A>(work)};
}

}  // namespace rill
