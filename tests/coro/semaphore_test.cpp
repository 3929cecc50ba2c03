// semaphore: every ending of a wait, fairness, permits that find their way back, and contention.
#include "rill/coro/semaphore.hpp"

#include "rill/coro/cancellation.hpp"
#include "rill/coro/task.hpp"
#include "rill/coro/with_cancellation.hpp"
#include "rill/coro/yield.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

using namespace rill_test;

namespace {

struct acquiring {
  rill::semaphore permits{0};

  rill::task<> wait() { co_await permits.acquire(); }
  void complete() { permits.release(); }
  bool intact(bool taken) const { return permits.available() == (taken ? 0U : 1U); }
  bool intact_without_task() const { return permits.available() == 1; }
};

struct acquiring_permit {
  rill::semaphore permits{1};

  rill::task<> wait() {
    auto held = co_await permits.acquire_permit(3);
    if (!held || permits.available() != 0) permits.release(100);
  }
  void complete() { permits.release(2); }
  bool intact(bool) const { return permits.available() == 3; }
  bool intact_without_task() const { return permits.available() == 3; }
};

TEST_CASE("semaphore: every ending of acquire") { check_every_ending<acquiring>(); }
TEST_CASE("semaphore: every ending of acquire_permit") { check_every_ending<acquiring_permit>(); }

TEST_CASE("semaphore: try_acquire takes what is there, and no more") {
  rill::semaphore permits{3};
  CHECK(permits.try_acquire(2));
  CHECK_FALSE(permits.try_acquire(2));
  CHECK(permits.available() == 1);
  CHECK(permits.try_acquire());
  CHECK_FALSE(permits.try_acquire());
  permits.release(5);
  CHECK(permits.available() == 5);
}

TEST_CASE("semaphore: a permit gives back when destroyed, released or assigned over, once") {
  rill::semaphore permits{4};
  std::optional<rill::semaphore::permit> first = permits.try_acquire_permit(2);
  std::optional<rill::semaphore::permit> second = permits.try_acquire_permit();
  REQUIRE(first.has_value());
  REQUIRE(second.has_value());
  CHECK_FALSE(permits.try_acquire_permit(2).has_value());
  CHECK(permits.available() == 1);

  rill::semaphore::permit moved{std::move(*first)};
  CHECK_FALSE(static_cast<bool>(*first));
  CHECK(permits.available() == 1);
  moved = std::move(*second);
  CHECK(permits.available() == 3);
  moved.release();
  moved.release();
  CHECK_FALSE(static_cast<bool>(moved));
  CHECK(permits.available() == 4);
}

rill::task<> acquires(rill::semaphore& permits, std::size_t count, std::vector<int>& log, int name) {
  co_await permits.acquire(count);
  log.push_back(name);
}

TEST_CASE("semaphore: nobody overtakes a task that wants more") {
  rill::semaphore permits{1};
  std::vector<int> order;
  home here;
  here.spawn(acquires(permits, 3, order, 0));
  here.spawn(acquires(permits, 1, order, 1));
  here.spawn(acquires(permits, 2, order, 2));
  here.turn();
  CHECK(order.empty());
  CHECK_FALSE(permits.try_acquire());
  permits.release();
  here.turn();
  here.turn();
  CHECK(order.empty());
  permits.release(2);
  here.turn();
  here.turn();
  CHECK(order == std::vector<int>{0, 1});
  permits.release(2);
  here.run();
  CHECK(order == std::vector<int>{0, 1, 2});
  CHECK(permits.available() == 0);
}

TEST_CASE("semaphore: when the first in the queue is cancelled, those behind it get what they want") {
  rill::semaphore permits{2};
  std::vector<int> order;
  rill::cancellation_source stop;
  bool cancelled = false;
  auto wants_too_much = [](rill::semaphore& from, bool& was_cancelled) -> rill::task<> {
    try {
      co_await from.acquire(5);
    } catch (const rill::operation_cancelled&) {
      was_cancelled = true;
    }
  };
  home here;
  here.spawn(wants_too_much(permits, cancelled), stop.token());
  here.spawn(acquires(permits, 1, order, 1));
  here.spawn(acquires(permits, 1, order, 2));
  here.turn();
  CHECK(order.empty());
  stop.cancel();
  here.run();
  CHECK(cancelled);
  CHECK(order == std::vector<int>{1, 2});
}

TEST_CASE("semaphore: permits granted to a home that is destroyed go to those that wait elsewhere") {
  rill::semaphore permits{0};
  std::vector<int> unused;
  std::vector<int> order;
  home survivor;
  {
    home doomed;
    doomed.spawn(acquires(permits, 1, unused, 0));
    doomed.turn();
    survivor.spawn(acquires(permits, 1, order, 1));
    survivor.turn();
    permits.release();
  }
  survivor.run();
  CHECK(unused.empty());
  CHECK(order == std::vector<int>{1});
}

TEST_CASE("semaphore: under contention with cancellation no permit is lost or made") {
  constexpr int tasks = 6;
  constexpr int limit = 5;
  const int turns = stress(4000);
  rill::semaphore permits{limit};
  std::atomic<int> inside{0};
  std::atomic<int> too_many{0};
  std::atomic<int> acquired{0};
  // Each wait has a source of its own, which another task trips at some time.
  const auto stops = std::make_unique<rill::cancellation_source[]>(static_cast<std::size_t>(turns * 2));

  auto worker = [&](int name) -> rill::task<> {
    dice roll{static_cast<unsigned>(name)};
    for (int turn = 0; turn < turns; ++turn) {
      const int count = 1 + static_cast<int>(roll(3));
      try {
        rill::cancellation_source& stop = stops[static_cast<std::size_t>(turn * 2 + name % 2)];
        auto held = co_await rill::with_cancellation(stop.token(),
                                                     permits.acquire_permit(static_cast<std::size_t>(count)));
        if (inside.fetch_add(count) + count > limit) ++too_many;
        ++acquired;
        spin(roll(20));
        inside.fetch_sub(count);
      } catch (const rill::operation_cancelled&) {
      }
    }
  };
  auto canceller = [&](int side) -> rill::task<> {
    for (int turn = side; turn < turns * 2; turn += 2) {
      stops[static_cast<std::size_t>(turn)].cancel();
      spin(40);
      co_await rill::yield();
    }
  };
  std::vector<std::vector<rill::task<>>> groups(2);
  for (int name = 0; name < tasks; ++name) groups[static_cast<std::size_t>(name % 2)].push_back(worker(name));
  groups[0].push_back(canceller(1));
  groups[1].push_back(canceller(0));
  run_on_threads(std::move(groups));
  CHECK(too_many == 0);
  CHECK(acquired > 0);
  CHECK(acquired < tasks * turns);
  CHECK(permits.available() == limit);
}

}  // namespace
