// async_mutex: a mutex that a task may hold across awaits; a task that waits for it blocks no thread.
#pragma once

#include "rill/coro/semaphore.hpp"

#include <cstddef>
#include <optional>
#include <utility>

namespace rill {

/// A mutex for tasks: first come first served, not recursive, unlocked by a guard, on any thread.
///
/// *Concurrency*: every member from any thread. *Lifetime*: outlives the tasks that wait on it and its guards.
class async_mutex {
 public:
  class guard;

  async_mutex() noexcept = default;

  /// Locks it. *Completes* with a guard that unlocks it when destroyed. *Cancellation*: it is not locked.
  semaphore::acquire_operation<guard> lock() noexcept;
  /// Locks it without waiting: empty if it is locked, or others wait for it.
  [[nodiscard]] std::optional<guard> try_lock() noexcept;

 private:
  semaphore permit_{1};
};

/// Keeps an `async_mutex` locked for as long as it lives.
class [[nodiscard]] async_mutex::guard {
 public:
  guard(guard&&) noexcept = default;
  guard& operator=(guard&&) noexcept = default;

  /// Unlocks it now; no effect the second time.
  void unlock() noexcept { permit_.release(); }
  /// Whether it still keeps the mutex locked.
  explicit operator bool() const noexcept { return static_cast<bool>(permit_); }

 private:
  friend class async_mutex;
  template <class>
  friend class semaphore::acquire_operation;
  explicit guard(semaphore::permit&& held) noexcept : permit_{std::move(held)} {}

  semaphore::permit permit_;
};

inline semaphore::acquire_operation<async_mutex::guard> async_mutex::lock() noexcept { return {permit_, 1}; }

inline std::optional<async_mutex::guard> async_mutex::try_lock() noexcept {
  std::optional<guard> locked;
  if (auto held = permit_.try_acquire_permit()) locked.emplace(guard{std::move(*held)});
  return locked;
}

}  // namespace rill
