// What the toolkit's tests share: a home whose tasks may be abandoned, a thread that races this one, stress counts,
// and the ways in which every wait can end.
#pragma once

#include "rill/coro/detail/root.hpp"
#include "rill/coro/detail/run_loop.hpp"
#include "rill/coro/task.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

namespace rill_test {

/// `count`, times the environment variable RILL_STRESS.
inline int stress(int count) {
  const char* factor = std::getenv("RILL_STRESS");
  const int times = factor != nullptr ? std::atoi(factor) : 1;
  return count * (times > 0 ? times : 1);
}

/// Small pseudo-random numbers; the same in every run.
class dice {
 public:
  explicit dice(unsigned seed) noexcept : state_{seed * 2654435761U + 1} {}
  unsigned operator()(unsigned sides) noexcept {
    state_ = state_ * 1664525U + 1013904223U;
    return (state_ >> 16) % sides;
  }

 private:
  unsigned state_;
};

/// Takes a little time, so that two threads meet at ever different points.
inline void spin(unsigned turns) noexcept {
  std::atomic<unsigned> turn{0};
  while (turn.load(std::memory_order_relaxed) < turns) turn.fetch_add(1, std::memory_order_relaxed);
}

/// A home on this thread. Its tasks may still be suspended when it is destroyed.
template <class Loop>
class basic_home {
 public:
  /// Starts `work`; an exception that leaves it ends the process.
  void spawn(rill::task<> work, rill::cancellation_token token = {}) {
    rill::task_context context;
    context.home = &loop_;
    context.token = token;
    ++left_;
    idle_ = false;
    run_root(*this, std::move(work)).post(context);
  }
  /// Runs what is ready now.
  void turn() {
    bool reached = false;
    mark last{reached};
    loop_.post(last);
    loop_.run_until(reached);
  }
  /// Runs until every task has ended.
  void run() { loop_.run_until(idle_); }

  [[nodiscard]] int left() const noexcept { return left_; }
  [[nodiscard]] Loop& loop() noexcept { return loop_; }

 private:
  struct mark : rill::detail::work_item {
    explicit mark(bool& to) noexcept : work_item{&reach}, reached{to} {}
    static void reach(work_item& item, bool) noexcept { static_cast<mark&>(item).reached = true; }
    bool& reached;
  };
  static rill::detail::root run_root(basic_home& self, rill::task<> work) {
    co_await std::move(work);
    self.idle_ = --self.left_ == 0;
  }

  int left_ = 0;
  bool idle_ = true;
  Loop loop_;
};
using home = basic_home<rill::detail::run_loop>;

/// Runs each group of tasks on a thread and a home of its own, until all have ended.
inline void run_on_threads(std::vector<std::vector<rill::task<>>> groups) {
  std::vector<std::thread> threads;
  for (std::vector<rill::task<>>& group : groups) {
    threads.emplace_back([&group] {
      home here;
      for (rill::task<>& work : group) here.spawn(std::move(work));
      here.run();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

/// A thread that does one small thing at a time, at the same moment as this one does another.
class racer {
 public:
  racer() : thread_{[this] { run(); }} {}
  racer(const racer&) = delete;
  racer& operator=(const racer&) = delete;
  ~racer() {
    stopping_.store(true);
    thread_.join();
  }

  void go(const std::function<void()>& job) { job_.store(&job); }
  void wait() const {
    while (job_.load() != nullptr) std::this_thread::yield();
  }

 private:
  void run() {
    while (!stopping_.load()) {
      if (const auto* job = job_.load()) {
        (*job)();
        job_.store(nullptr);
      } else {
        std::this_thread::yield();
      }
    }
  }

  std::atomic<const std::function<void()>*> job_{nullptr};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

enum class ending { none, completed, cancelled };

template <class Fixture>
rill::task<> record(Fixture& fixture, ending& how) {
  try {
    co_await fixture.wait();
    how = ending::completed;
  } catch (const rill::operation_cancelled&) {
    how = ending::cancelled;
  }
}

/// Checks every way in which a wait can end. A `Fixture` is new for each check and has:
/// - `rill::task<> wait()`: the wait, which does not complete before `complete` is called;
/// - `void complete()`: completes the wait, or lets the next one complete; from any thread;
/// - `bool intact(bool taken)`: whether, after one `complete`, what it gave is there unless the wait took it;
/// - `bool intact_without_task()`: the same when the home was destroyed at that moment.
template <class Fixture>
void check_every_ending(int rounds = stress(4000)) {
  SUBCASE("completed before it waits") {
    Fixture fixture;
    ending how = ending::none;
    fixture.complete();
    home here;
    here.spawn(record(fixture, how));
    here.run();
    CHECK(how == ending::completed);
    CHECK(fixture.intact(true));
  }
  SUBCASE("completed while it waits") {
    Fixture fixture;
    ending how = ending::none;
    home here;
    here.spawn(record(fixture, how));
    here.turn();
    CHECK(how == ending::none);
    fixture.complete();
    CHECK(how == ending::none);  // it resumes on its home, never inside whatever completed it
    here.run();
    CHECK(how == ending::completed);
    CHECK(fixture.intact(true));
  }
  SUBCASE("completed, then cancelled, before it resumes") {
    Fixture fixture;
    ending how = ending::none;
    rill::cancellation_source stop;
    home here;
    here.spawn(record(fixture, how), stop.token());
    here.turn();
    fixture.complete();
    stop.cancel();
    here.run();
    CHECK(how == ending::completed);
    CHECK(fixture.intact(true));
  }
  SUBCASE("cancelled before it waits") {
    Fixture fixture;
    ending how = ending::none;
    rill::cancellation_source stop;
    stop.cancel();
    fixture.complete();
    home here;
    here.spawn(record(fixture, how), stop.token());
    here.run();
    CHECK(how == ending::cancelled);
    CHECK(fixture.intact(false));
  }
  SUBCASE("cancelled while it waits") {
    Fixture fixture;
    ending how = ending::none;
    rill::cancellation_source stop;
    home here;
    here.spawn(record(fixture, how), stop.token());
    here.turn();
    stop.cancel();
    CHECK(how == ending::none);
    fixture.complete();
    here.run();
    CHECK(how == ending::cancelled);
    CHECK(fixture.intact(false));
  }
  SUBCASE("completed and cancelled at once") {
    racer other;
    dice roll{7};
    int completed = 0;
    int wrong = 0;
    for (int round = 0; round < rounds; ++round) {
      Fixture fixture;
      ending how = ending::none;
      rill::cancellation_source stop;
      const std::function<void()> complete = [&] { fixture.complete(); };
      const std::function<void()> cancel = [&] { stop.cancel(); };
      home here;
      here.spawn(record(fixture, how), stop.token());
      if (roll(4) != 0) here.turn();
      const bool cancel_here = roll(2) == 0;
      other.go(cancel_here ? complete : cancel);
      spin(roll(150));
      (cancel_here ? cancel : complete)();
      here.run();
      other.wait();
      const bool taken = how == ending::completed;
      if (taken) ++completed;
      if (how == ending::none || !fixture.intact(taken)) ++wrong;
    }
    CHECK(wrong == 0);
    CHECK(completed > 0);
    CHECK(completed < rounds);
  }
  SUBCASE("its home destroyed while it waits") {
    Fixture fixture;
    ending how = ending::none;
    rill::cancellation_source stop;
    {
      home here;
      here.spawn(record(fixture, how), stop.token());
      here.turn();
      CHECK(here.left() == 1);
    }
    fixture.complete();
    stop.cancel();
    CHECK(how == ending::none);
    CHECK(fixture.intact(false));
  }
  SUBCASE("its home destroyed before it starts") {
    Fixture fixture;
    ending how = ending::none;
    {
      home here;
      here.spawn(record(fixture, how));
    }
    fixture.complete();
    CHECK(how == ending::none);
    CHECK(fixture.intact(false));
  }
  SUBCASE("its home destroyed while it is completed or cancelled") {
    racer other;
    dice roll{11};
    int wrong = 0;
    for (int round = 0; round < rounds; ++round) {
      Fixture fixture;
      ending how = ending::none;
      rill::cancellation_source stop;
      const bool cancels = roll(2) == 0;
      const std::function<void()> job = [&] {
        spin(roll(150));
        if (cancels) {
          stop.cancel();
        } else {
          fixture.complete();
        }
      };
      {
        home here;
        here.spawn(record(fixture, how), stop.token());
        here.turn();
        other.go(job);
        spin(100);
      }
      other.wait();
      if (cancels) fixture.complete();
      if (how != ending::none || !fixture.intact_without_task()) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

}  // namespace rill_test
