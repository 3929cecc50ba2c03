// event: a flag that tasks can wait for. The bridge from a callback on any thread to a task.
#pragma once

#include "rill/coro/detail/spin_lock.hpp"
#include "rill/coro/operation.hpp"

#include <utility>

namespace rill {

/// A flag that stays up once it is set, until it is reset.
///
/// *Concurrency*: every member from any thread. *Lifetime*: a task whose `wait` has completed may destroy the event,
/// even while the `set` that woke it has not returned yet.
class event {
 public:
  class wait_operation;

  event() noexcept = default;
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  /// Puts the flag up and wakes every task that waits.
  void set() noexcept {
    detail::guard held{lock_};
    set_ = true;
    while (auto* one = waiting_.pop_front()) {
      if (one->waiter->claim()) one->waiter->wake();
    }
  }
  /// Takes the flag down. Tasks that were woken before go on all the same.
  void reset() noexcept {
    detail::guard held{lock_};
    set_ = false;
  }
  [[nodiscard]] bool is_set() const noexcept {
    detail::guard held{lock_};
    return set_;
  }

  /// Waits until the flag is up. *Completes* with nothing.
  wait_operation wait() noexcept;

 private:
  mutable detail::spin_lock lock_;
  bool set_ = false;
  detail::waiting_list<wait_operation> waiting_;
};

class [[nodiscard]] event::wait_operation : public detail::operation<wait_operation> {
 public:
  wait_operation(wait_operation&& other) noexcept
      : detail::operation<wait_operation>{std::move(other)}, event_{other.event_} {}

  bool poll() noexcept { return event_.is_set(); }
  bool arm(detail::waiter& waiter) noexcept {
    detail::guard held{event_.lock_};
    if (event_.set_) return waiter.claim();
    event_.waiting_.push_back(link_.of(*this, waiter));
    return false;
  }
  void disarm() noexcept {
    detail::guard held{event_.lock_};
    link_.unlink();
  }
  void take() const noexcept {}

 private:
  friend class event;
  explicit wait_operation(event& waited_for) noexcept : event_{waited_for} {}

  event& event_;
  detail::waiting<wait_operation> link_;
};

inline event::wait_operation event::wait() noexcept { return wait_operation{*this}; }

}  // namespace rill
