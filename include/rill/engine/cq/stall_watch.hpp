// stall_watch: notices that something blocks an event loop, and says what.
#pragma once

#include "rill/engine/cq/loop_pulse.hpp"
#include "rill/engine/cq/thread.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace rill::cq {

/// The threshold unless an option says otherwise: in builds without NDEBUG 200 ms, else zero, which is off.
#if defined(NDEBUG)
constexpr std::chrono::nanoseconds default_stall_threshold{0};
#else
constexpr std::chrono::nanoseconds default_stall_threshold{200'000'000};
#endif

/// Something that blocks its loop, or did.
struct stall {
  std::string_view task;          ///< A handler's is its method's path; empty if it has no name.
  std::chrono::nanoseconds time;  ///< How long, to a quarter of the threshold.
  bool over;                      ///< Whether the loop runs again.
};

/// Told of a stall once when it reaches the threshold, and once when it is over. On the watcher's thread.
using stall_hook = std::function<void(const stall& seen)>;

/// A thread that looks at loops from time to time. *Lifetime*: the loops outlive `stop`.
class stall_watch {
 public:
  stall_watch() = default;
  stall_watch(const stall_watch&) = delete;
  stall_watch& operator=(const stall_watch&) = delete;
  ~stall_watch() { stop(); }

  /// Before `start`.
  void add(const loop_pulse& loop) { loops_.push_back({loop}); }
  void start(std::chrono::nanoseconds threshold, stall_hook hook) {
    threshold_ = threshold;
    hook_ = std::move(hook);
    thread_ = start_thread([](void* self) { static_cast<stall_watch*>(self)->run(); }, this);
  }
  /// Returns when the hook will not be called any more. *Concurrency*: one thread.
  void stop() noexcept {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard held{mutex_};
      stopping_ = true;
    }
    stopped_.notify_all();
    thread_.join();
  }

 private:
  using clock = std::chrono::steady_clock;

  struct watched {
    const loop_pulse& pulse;
    std::uint32_t turn = 0;
    clock::time_point since{};  // when `turn` was first seen
    const char* task = nullptr;
    bool told = false;
  };

  void run() {
    std::unique_lock held{mutex_};
    while (!stopping_) {
      stopped_.wait_for(held, threshold_ / 4);
      const clock::time_point now = clock::now();
      for (watched& one : loops_) look_at(one, now);
    }
  }
  void look_at(watched& loop, clock::time_point now) {
    const std::uint32_t turn = loop.pulse.turn();
    if (turn != loop.turn) {
      if (std::exchange(loop.told, false)) tell(loop, now, true);
      loop.turn = turn;
      loop.since = now;
    } else if (turn % 2 != 0 && !loop.told && now - loop.since >= threshold_) {
      loop.told = true;
      loop.task = loop.pulse.task();
      tell(loop, now, false);
    }
  }
  void tell(const watched& loop, clock::time_point now, bool over) noexcept {
    try {
      hook_(
          {loop.task != nullptr ? std::string_view{loop.task} : std::string_view{}, now - loop.since, over});
    } catch (...) {
      // A hook that fails must not end the watch.
    }
  }

  std::vector<watched> loops_;
  std::chrono::nanoseconds threshold_{};
  stall_hook hook_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace rill::cq
