// with_cancellation: one more token that can cancel an awaitable.
#pragma once

#include "rill/coro/cancellation.hpp"
#include "rill/coro/detail/derived_context.hpp"

#include <utility>

namespace rill {

namespace detail {

class cancellation_derivation {
 public:
  cancellation_derivation(const task_context& outer, cancellation_token token) noexcept
      : source_{outer.token}, link_{token, source_.source()}, context_{outer} {
    context_.token = source_.token();
  }

  [[nodiscard]] task_context& context() noexcept { return context_; }
  void start() const noexcept {}
  void stop() const noexcept {}

 private:
  linked_source source_;
  cancellation_link link_;
  task_context context_;
};

}  // namespace detail

/// Awaits `work`, which is cancelled when `token` trips or when the awaiter is, with the reason of whichever is first.
/// *Completes* when `work` has ended, with its value or exception. *Lifetime*: `token`'s source outlives the await.
/// For a `std::stop_token` see stop_token.hpp.
template <class A>
auto with_cancellation(cancellation_token token, A&& work) {
  return detail::derived_awaitable<detail::cancellation_derivation, cancellation_token, A>{
      token, std::forward<A>(work)};
}

}  // namespace rill
