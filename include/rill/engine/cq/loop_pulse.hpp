// loop_pulse: what an event loop says about itself to a thread that watches it.
#pragma once

#include <atomic>
#include <cstdint>

namespace rill::cq {

/// Written by the loop with two plain stores for each thing that it does, read by any thread.
///
/// `turn_`: odd while something runs, even while the loop waits; it changes with each of them.
class loop_pulse {
 public:
  /// Something begins to run; `task` names the task that it resumes, or is null.
  void begin(const char* task) noexcept {
    const std::uint32_t turn = turn_.load(std::memory_order_relaxed);
    turn_.store((turn + 1) | 1, std::memory_order_relaxed);
    task_.store(task, std::memory_order_relaxed);
  }
  /// What runs turns out to be this task.
  void run_task(const char* task) noexcept { task_.store(task, std::memory_order_relaxed); }
  /// Nothing runs.
  void rest() noexcept {
    turn_.store((turn_.load(std::memory_order_relaxed) + 1) & ~std::uint32_t{1}, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint32_t turn() const noexcept { return turn_.load(std::memory_order_relaxed); }
  /// What runs, if `turn` has been the same for long.
  [[nodiscard]] const char* task() const noexcept { return task_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint32_t> turn_{0};
  std::atomic<const char*> task_{nullptr};
};

}  // namespace rill::cq
