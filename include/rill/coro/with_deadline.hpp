// with_deadline: a point in time by which an awaitable, and every call that it makes, must have ended.
#pragma once

#include "rill/coro/detail/derived_context.hpp"
#include "rill/coro/detail/duration.hpp"

#include <cstdint>
#include <utility>

namespace rill {

namespace detail {

/// A context whose deadline is the earlier of both. Whoever set the outer one cancels when that has passed.
class deadline_derivation : public timed_derivation {
 public:
  deadline_derivation(const task_context& outer, std::int64_t moment) noexcept
      : timed_derivation{outer, moment < outer.deadline ? moment : never} {
    if (moment < outer.deadline) context().deadline = moment;
  }
};

}  // namespace detail

/// Awaits `work` under the deadline `moment`, or the one that is in force already, whichever is earlier. Calls that
/// `work` makes carry the deadline to their servers; once it has passed, `work` is cancelled.
///
/// *Completes* when `work` has ended: with its value or exception, which is `operation_cancelled` with the reason
/// `deadline` if a wait of `work` was cut short. *Cancellation*: flows into `work`, which is awaited.
template <detail::steady_time_point_like TimePoint, class A>
auto with_deadline(TimePoint moment, A&& work) {
  return detail::derived_awaitable<detail::deadline_derivation, std::int64_t, A>{
      detail::to_nanoseconds(moment.time_since_epoch()), std::forward<A>(work)};
}

}  // namespace rill
