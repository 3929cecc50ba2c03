// runtime: a pool of event loops for clients and background tasks; one is shared by the process.
#pragma once

#include "rill/coro/errors.hpp"
#include "rill/engine/cq/event_loop.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

namespace rill {

/// A fixed set of event loops.
/// *Lifetime*: the destructor waits for the calls on its loops, frees tasks that are left, and joins the threads.
class runtime {
 public:
  /// *Throws*: `usage_error` if `loops` is less than 1.
  explicit runtime(int loops = 1) {
    if (loops < 1) throw usage_error{"rill: a runtime needs at least one loop"};
    for (int i = 0; i < loops; ++i) {
      loops_.push_back(std::make_unique<cq::event_loop>());
      loops_.back()->start();
    }
  }
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;

  [[nodiscard]] std::size_t size() const noexcept { return loops_.size(); }
  [[nodiscard]] cq::event_loop& loop(std::size_t index) noexcept { return *loops_[index]; }
  /// The loops in turn. *Concurrency*: any thread.
  [[nodiscard]] cq::event_loop& next() noexcept {
    return *loops_[turn_.fetch_add(1, std::memory_order_relaxed) % loops_.size()];
  }

  /// The process's own runtime, of one loop, made on first use: calls of tasks that live on no loop run there.
  [[nodiscard]] static runtime& shared() {
    static runtime instance;
    return instance;
  }

 private:
  std::vector<std::unique_ptr<cq::event_loop>> loops_;
  std::atomic<std::size_t> turn_{0};
};

}  // namespace rill
