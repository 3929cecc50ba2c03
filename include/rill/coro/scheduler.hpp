// A home for tasks: where they resume and whose clock they read. A home runs one thing at a time.
// Event loops, sync_wait's loop, the virtual-time loop and Asio executors are homes.
#pragma once

#include "rill/coro/detail/intrusive.hpp"
#include "rill/coro/detail/timer_heap.hpp"

#include <cstdint>

namespace rill {

namespace detail {

/// Something posted to a home. `invoke` is called once: with true on the home, or with false by a home that is
/// being destroyed and will run nothing any more.
struct work_item {
  using function = void (*)(work_item&, bool run) noexcept;

  explicit work_item(function f) noexcept : invoke{f} {}
  work_item(const work_item&) = delete;
  work_item& operator=(const work_item&) = delete;

  work_item* next = nullptr;
  function invoke;
  const char* task = nullptr;  ///< The name of the task that it resumes, if it has one.
};

class root_promise;

}  // namespace detail

/// The interface of a home.
///
/// The rules that everything else leans on: a home runs one thing at a time; a suspended task is resumed only by
/// posting to its home; so what a task posts to its own home runs after the task has suspended.
class scheduler {
 public:
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;

  /// Queues `item`. *Concurrency*: any thread.
  virtual void post(detail::work_item& item) noexcept = 0;
  /// Nanoseconds on the home's clock, `steady_clock` unless the home has virtual time. *Concurrency*: any thread.
  [[nodiscard]] virtual std::int64_t now() const noexcept = 0;
  /// Fires `timer` once at its due time. *Concurrency*: on the home only.
  virtual void add_timer(detail::timer_node& timer) noexcept = 0;
  /// After it returns `timer` does not fire; no effect if it fired or was never added. *Concurrency*: on the home only.
  virtual void cancel_timer(detail::timer_node& timer) noexcept = 0;

  /// Counts an await that completed without suspending; false each 64th time, when the task must let others run.
  [[nodiscard]] bool spend_ready() noexcept { return (++ready_ % 64) != 0; }

 protected:
  scheduler() noexcept = default;
  ~scheduler() = default;

  /// Frees the tasks that are still suspended here. For the destructors of homes, after their queue was dropped.
  inline void destroy_roots() noexcept;

 private:
  friend class detail::root_promise;
  unsigned ready_ = 0;
  detail::intrusive_list<detail::root_promise> roots_;
};

}  // namespace rill
