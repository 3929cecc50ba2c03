// A home that is run by whichever thread calls run_until: what sync_wait uses, and the base of virtual time.
#pragma once

#include "rill/coro/detail/intrusive.hpp"
#include "rill/coro/detail/root.hpp"
#include "rill/coro/detail/timer_heap.hpp"
#include "rill/coro/scheduler.hpp"

#include <cstdint>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <time.h>
#else
#include <chrono>
#include <condition_variable>
#include <mutex>
#endif

namespace rill::detail {

#if defined(__unix__) || defined(__APPLE__)

inline std::int64_t steady_now() noexcept {
  ::timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// A mutex with a condition, on the monotonic clock.
class parking_lot {
 public:
  parking_lot() noexcept {
    ::pthread_mutex_init(&mutex_, nullptr);
    ::pthread_condattr_t attributes;
    ::pthread_condattr_init(&attributes);
#if !defined(__APPLE__)
    ::pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
    ::pthread_cond_init(&condition_, &attributes);
    ::pthread_condattr_destroy(&attributes);
  }
  parking_lot(const parking_lot&) = delete;
  parking_lot& operator=(const parking_lot&) = delete;
  ~parking_lot() {
    ::pthread_cond_destroy(&condition_);
    ::pthread_mutex_destroy(&mutex_);
  }

  void lock() noexcept { ::pthread_mutex_lock(&mutex_); }
  void unlock() noexcept { ::pthread_mutex_unlock(&mutex_); }
  void notify() noexcept { ::pthread_cond_signal(&condition_); }
  /// With the lock held, waits for `notify`, for `due` or for nothing at all.
  void wait_until(std::int64_t due) noexcept {
    if (due == never) {
      ::pthread_cond_wait(&condition_, &mutex_);
      return;
    }
#if defined(__APPLE__)
    const std::int64_t left = due - steady_now();
    if (left <= 0) return;
    const ::timespec span{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
    ::pthread_cond_timedwait_relative_np(&condition_, &mutex_, &span);
#else
    const ::timespec until{static_cast<time_t>(due / 1'000'000'000), static_cast<long>(due % 1'000'000'000)};
    ::pthread_cond_timedwait(&condition_, &mutex_, &until);
#endif
  }

 private:
  ::pthread_mutex_t mutex_;
  ::pthread_cond_t condition_;
};

#else

inline std::int64_t steady_now() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

class parking_lot {
 public:
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }
  void notify() noexcept { condition_.notify_one(); }
  void wait_until(std::int64_t due) {
    std::unique_lock held{mutex_, std::adopt_lock};
    if (due == never) {
      condition_.wait(held);
    } else {
      condition_.wait_until(held, std::chrono::steady_clock::time_point{std::chrono::nanoseconds{due}});
    }
    held.release();
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
};

#endif

/// Runs posted work and timers on the thread that calls `run_until`, which parks when there is nothing to do.
class run_loop : public scheduler {
 public:
  run_loop() noexcept = default;
  ~run_loop() {
    parked_.lock();
    closing_ = true;
    parked_.unlock();
    while (work_item* item = posted_.pop()) item->invoke(*item, false);
    destroy_roots();
  }

  void post(work_item& item) noexcept override {
    // Notified under the lock: once the item has been taken, the loop may be gone.
    parked_.lock();
    if (closing_) {
      parked_.unlock();
      item.invoke(item, false);
      return;
    }
    posted_.push(item);
    parked_.notify();
    parked_.unlock();
  }
  [[nodiscard]] std::int64_t now() const noexcept override { return steady_now(); }
  void add_timer(timer_node& timer) noexcept override { timers_.add(timer); }
  void cancel_timer(timer_node& timer) noexcept override { timers_.remove(timer); }

  /// Runs until `done` is true; looks at it after each item.
  void run_until(const bool& done) noexcept {
    while (!done) {
      if (work_item* item = ready_.pop()) {
        item->invoke(*item, true);
        continue;
      }
      parked_.lock();
      if (posted_.empty() && timers_.next_due() > now()) park(timers_.next_due());
      ready_.splice(posted_);
      parked_.unlock();
      const std::int64_t current = timers_.empty() ? 0 : now();
      while (timer_node* timer = timers_.pop_due(current)) timer->fire(*timer);
    }
    parked_.lock();
    ready_.splice(posted_);
    posted_.splice(ready_);
    parked_.unlock();
  }

 protected:
  /// Waits, with the lock held, until something is posted or `due` comes.
  virtual void park(std::int64_t due) noexcept { parked_.wait_until(due); }

 private:
  parking_lot parked_;
  bool closing_ = false;
  intrusive_queue<work_item> posted_;
  intrusive_queue<work_item> ready_;
  timer_heap timers_;
};

}  // namespace rill::detail
