// sleep_for and sleep_until: waits on the home's clock, which may be a virtual one.
#pragma once

#include "rill/coro/detail/duration.hpp"
#include "rill/coro/detail/timer_heap.hpp"
#include "rill/coro/operation.hpp"

#include <cstdint>

namespace rill {

namespace detail {

class [[nodiscard]] sleep_operation : public operation<sleep_operation>, private timer_node {
 public:
  /// `until` tells whether `time` is a moment or a span that starts when the operation is awaited.
  sleep_operation(std::int64_t time, bool until) noexcept : timer_node{&fire}, time_{time}, until_{until} {}
  sleep_operation(sleep_operation&& other) noexcept
      : operation<sleep_operation>{static_cast<operation<sleep_operation>&&>(other)},
        timer_node{&fire},
        time_{other.time_},
        until_{other.until_} {}

  bool poll() noexcept {
    const std::int64_t now = context().home->now();
    if (!until_) {
      time_ = after(now, time_);
      until_ = true;
    }
    return time_ <= now;
  }
  bool arm(waiter& claim) noexcept {
    if (poll()) return claim.claim();
    waiter_ = &claim;
    due = time_;
    if (due != never) context().home->add_timer(*this);
    return false;
  }
  void disarm() noexcept { context().home->cancel_timer(*this); }
  void take() const noexcept {}

 private:
  static void fire(timer_node& timer) noexcept {
    const waiter& claim = *static_cast<sleep_operation&>(timer).waiter_;
    if (claim.claim()) claim.wake();
  }

  std::int64_t time_;
  bool until_;
  waiter* waiter_ = nullptr;
};

}  // namespace detail

/// Waits for `span`, a `std::chrono::duration`; one that is not positive takes no time.
/// *Completes* with nothing, never early. *Cancellation*: at once.
template <detail::duration_like Duration>
detail::sleep_operation sleep_for(Duration span) noexcept {
  return detail::sleep_operation{detail::to_nanoseconds(span), false};
}

/// Waits until `moment`, a `std::chrono::steady_clock::time_point`, has come on the home's clock.
/// *Completes* with nothing, never early. *Cancellation*: at once.
template <detail::steady_time_point_like TimePoint>
detail::sleep_operation sleep_until(TimePoint moment) noexcept {
  return detail::sleep_operation{detail::to_nanoseconds(moment.time_since_epoch()), true};
}

}  // namespace rill
