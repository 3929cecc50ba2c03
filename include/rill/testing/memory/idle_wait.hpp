// Runs a loop until an in-memory engine has no call left: how an engine stops on a loop that has no thread of its own.
#pragma once

#include "rill/coro/detail/run_loop.hpp"
#include "rill/testing/memory/network.hpp"
#include "rill/testing/virtual_time.hpp"

#include <cstdint>
#include <mutex>

namespace rill::testing::memory {

/// *Concurrency*: on the thread that runs the loop.
class idle_wait {
 public:
  idle_wait(network& of, rill::detail::run_loop& on) noexcept : network_{of}, loop_{on} {}

  /// Until no call is left, `time` has passed, or the loop can do nothing more.
  void run(std::int64_t time) noexcept {
    {
      const std::lock_guard held{network_.mutex};
      if (network_.calls == 0) return;
    }
    loop_.post(probe_);
    if (probe_.state == item::dropped) return;  // the loop is being destroyed
    if (!run_until(probe_.done)) return;
    {
      const std::lock_guard held{network_.mutex};
      if (network_.calls == 0) return;
      network_.when_idle = &idle_;
    }
    if (time != rill::detail::never) {
      timer_.due = loop_.now() + time;
      loop_.add_timer(timer_);
    }
    static_cast<void>(run_until(idle_.done));
    loop_.cancel_timer(timer_);
    if (idle_.state != item::waiting) return;
    {
      const std::lock_guard held{network_.mutex};
      if (network_.when_idle == &idle_) {
        network_.when_idle = nullptr;
        return;
      }
    }
    idle_.done = false;
    static_cast<void>(run_until(idle_.done));
  }

 private:
  struct item : rill::detail::work_item {
    enum result : std::uint8_t { waiting, ran, dropped };
    item() noexcept
        : work_item{[](work_item& self, bool run) noexcept {
            static_cast<item&>(self).state = run ? ran : dropped;
            static_cast<item&>(self).done = true;
          }} {}
    result state = waiting;
    bool done = false;
  };
  struct timer : rill::detail::timer_node {
    explicit timer(bool& sets) noexcept
        : timer_node{[](timer_node& self) noexcept { static_cast<timer&>(self).done = true; }}, done{sets} {}
    bool& done;
  };

  [[nodiscard]] bool run_until(bool& done) noexcept {
    if (auto* loop = dynamic_cast<virtual_time_loop*>(&loop_)) return loop->run_until(done);
    loop_.run_until(done);
    return true;
  }

  network& network_;
  rill::detail::run_loop& loop_;
  item probe_;
  item idle_;
  timer timer_{idle_.done};
};

}  // namespace rill::testing::memory
