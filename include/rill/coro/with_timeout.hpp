// with_timeout: gives an awaitable a limited time.
#pragma once

#include "rill/coro/detail/derived_context.hpp"
#include "rill/coro/detail/duration.hpp"
#include "rill/coro/errors.hpp"

#include <cstdint>
#include <utility>

namespace rill {

namespace detail {

class timeout_derivation : public timed_derivation {
 public:
  timeout_derivation(const task_context& outer, std::int64_t span) noexcept
      : timed_derivation{outer, after(outer.home->now(), span)} {}

  [[noreturn]] void rethrow_cancelled() const {
    if (timed_out()) throw timeout_error{};
    throw;
  }
};

}  // namespace detail

/// Awaits `work`, and cancels it, with the reason `deadline`, once `span` has passed.
///
/// *Completes* when `work` has ended, in time or not: with its value, if it has one even so; with its exception,
/// where the `operation_cancelled` that the timeout made becomes `timeout_error`.
/// *Cancellation*: flows into `work`, which is awaited. *Throws*: `timeout_error`, and whatever `work` throws.
/// The context's deadline stays as it was: `with_deadline` is what downstream calls see.
template <detail::duration_like Duration, class A>
auto with_timeout(Duration span, A&& work) {
  return detail::derived_awaitable<detail::timeout_derivation, std::int64_t, A>{detail::to_nanoseconds(span),
                                                                                std::forward<A>(work)};
}

}  // namespace rill
