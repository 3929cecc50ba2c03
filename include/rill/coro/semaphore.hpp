// semaphore: a number of permits that tasks take and give back, first come first served.
#pragma once

#include "rill/coro/detail/spin_lock.hpp"
#include "rill/coro/operation.hpp"

#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

namespace rill {

/// A counting semaphore. Nobody overtakes a task that waits, however many permits it wants.
///
/// *Concurrency*: every member from any thread. *Lifetime*: outlives the tasks that wait on it and its permits.
class semaphore {
 public:
  class permit;
  template <class Result>
  class acquire_operation;

  explicit semaphore(std::size_t permits) noexcept : available_{permits} {}
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;

  /// Takes `count` permits, which `release` gives back. *Completes* with nothing. *Cancellation*: takes none.
  acquire_operation<void> acquire(std::size_t count = 1) noexcept;
  /// Takes `count` permits. *Completes* with a `permit` that gives them back. *Cancellation*: takes none.
  acquire_operation<permit> acquire_permit(std::size_t count = 1) noexcept;

  /// Takes `count` permits without waiting: false if they are not there, or others wait for them.
  [[nodiscard]] bool try_acquire(std::size_t count = 1) noexcept {
    detail::guard held{lock_};
    return grant(count);
  }
  [[nodiscard]] std::optional<permit> try_acquire_permit(std::size_t count = 1) noexcept;

  /// Gives back, or adds, `count` permits.
  void release(std::size_t count = 1) noexcept {
    detail::guard held{lock_};
    available_ += count;
    serve();
  }

  [[nodiscard]] std::size_t available() const noexcept {
    detail::guard held{lock_};
    return available_;
  }

 private:
  struct request {
    std::size_t count;
    bool granted;
  };

  // With the lock held.
  bool grant(std::size_t count) noexcept {
    if (!waiting_.empty() || available_ < count) return false;
    available_ -= count;
    return true;
  }
  void serve() noexcept {
    for (auto* first = waiting_.front(); first != nullptr; first = waiting_.front()) {
      request& wanted = *first->operation;
      if (wanted.count > available_) return;
      waiting_.pop_front();
      if (!first->waiter->claim()) continue;
      available_ -= wanted.count;
      wanted.granted = true;
      first->waiter->wake();
    }
  }

  mutable detail::spin_lock lock_;
  std::size_t available_;
  detail::waiting_list<request> waiting_;
};

/// Permits that are given back when this is destroyed.
class [[nodiscard]] semaphore::permit {
 public:
  permit(permit&& other) noexcept
      : semaphore_{std::exchange(other.semaphore_, nullptr)}, count_{other.count_} {}
  permit& operator=(permit&& other) noexcept {
    if (this != &other) {
      release();
      semaphore_ = std::exchange(other.semaphore_, nullptr);
      count_ = other.count_;
    }
    return *this;
  }
  ~permit() { release(); }

  /// Gives them back now; no effect the second time.
  void release() noexcept {
    if (semaphore* from = std::exchange(semaphore_, nullptr)) from->release(count_);
  }
  /// Whether it still holds them.
  explicit operator bool() const noexcept { return semaphore_ != nullptr; }

 private:
  friend class semaphore;
  template <class>
  friend class semaphore::acquire_operation;
  permit(semaphore& from, std::size_t count) noexcept : semaphore_{&from}, count_{count} {}

  semaphore* semaphore_;
  std::size_t count_;
};

/// Takes permits. If it is destroyed between being granted them and being resumed, which happens when a home is
/// destroyed, it gives them back.
template <class Result>
class [[nodiscard]] semaphore::acquire_operation
    : public detail::operation<semaphore::acquire_operation<Result>> {
 public:
  acquire_operation(semaphore& from, std::size_t count) noexcept : semaphore_{from}, wanted_{count, false} {}
  acquire_operation(acquire_operation&& other) noexcept
      : detail::operation<acquire_operation>{std::move(other)},
        semaphore_{other.semaphore_},
        wanted_{other.wanted_.count, false} {}
  ~acquire_operation() {
    if (wanted_.granted) semaphore_.release(wanted_.count);
  }

  bool poll() noexcept {
    detail::guard held{semaphore_.lock_};
    wanted_.granted = semaphore_.grant(wanted_.count);
    return wanted_.granted;
  }
  bool arm(detail::waiter& waiter) noexcept {
    detail::guard held{semaphore_.lock_};
    if (semaphore_.waiting_.empty() && wanted_.count <= semaphore_.available_) {
      wanted_.granted = waiter.claim() && semaphore_.grant(wanted_.count);
      return wanted_.granted;
    }
    semaphore_.waiting_.push_back(link_.of(wanted_, waiter));
    return false;
  }
  void disarm() noexcept {
    detail::guard held{semaphore_.lock_};
    if (!link_.linked()) return;
    link_.unlink();
    semaphore_.serve();  // those behind it may want less
  }
  Result take() noexcept {
    wanted_.granted = false;
    if constexpr (!std::is_void_v<Result>) return Result{permit{semaphore_, wanted_.count}};
  }

 private:
  semaphore& semaphore_;
  request wanted_;
  detail::waiting<request> link_;
};

inline semaphore::acquire_operation<void> semaphore::acquire(std::size_t count) noexcept {
  return {*this, count};
}
inline semaphore::acquire_operation<semaphore::permit> semaphore::acquire_permit(std::size_t count) noexcept {
  return {*this, count};
}
inline std::optional<semaphore::permit> semaphore::try_acquire_permit(std::size_t count) noexcept {
  std::optional<permit> taken;
  if (try_acquire(count)) taken.emplace(permit{*this, count});
  return taken;
}

}  // namespace rill
