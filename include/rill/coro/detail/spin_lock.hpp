// A lock for critical sections of a few instructions; its last touch is the store that releases it.
// A contender spins briefly, then gives up its time slice, so that a preempted holder can go on.
#pragma once

#include <atomic>

#if defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#endif

namespace rill::detail {

/// A non-recursive lock of one byte. States of `held_`: false free, true held.
class spin_lock {
 public:
  void lock() noexcept {
    while (held_.exchange(true, std::memory_order_acquire)) wait();
  }
  [[nodiscard]] bool try_lock() noexcept {
    return !held_.load(std::memory_order_relaxed) && !held_.exchange(true, std::memory_order_acquire);
  }
  void unlock() noexcept { held_.store(false, std::memory_order_release); }

 private:
  void wait() noexcept {
    for (unsigned spins = 0; held_.load(std::memory_order_relaxed); ++spins) {
      if (spins < 40) {
        pause();
      } else {
        give_way();
      }
    }
  }
  static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }
  static void give_way() noexcept {
#if defined(__unix__) || defined(__APPLE__)
    ::sched_yield();
#endif
  }

  std::atomic<bool> held_{false};
};

/// Holds a lock for a scope.
template <class Lock>
class [[nodiscard]] guard {
 public:
  explicit guard(Lock& lock) noexcept : lock_{lock} { lock_.lock(); }
  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;
  ~guard() { lock_.unlock(); }

 private:
  Lock& lock_;
};

}  // namespace rill::detail
