// event: every ending of wait, set and reset, and destruction by the task that was woken.
#include "rill/coro/event.hpp"

#include "rill/coro/task.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

using namespace rill_test;

namespace {

struct waiting_for_event {
  rill::event flag;

  rill::task<> wait() { co_await flag.wait(); }
  void complete() { flag.set(); }
  bool intact(bool) const { return flag.is_set(); }
  bool intact_without_task() const { return flag.is_set(); }
};

TEST_CASE("event: every ending of a wait") { check_every_ending<waiting_for_event>(); }

TEST_CASE("event: set wakes every task, in the order in which they came") {
  rill::event flag;
  std::vector<int> order;
  auto waits = [](rill::event& on, std::vector<int>& log, int name) -> rill::task<> {
    co_await on.wait();
    log.push_back(name);
  };
  home here;
  for (int name = 0; name < 5; ++name) here.spawn(waits(flag, order, name));
  here.turn();
  flag.set();
  here.run();
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("event: reset makes later waits wait, and does not hold back those that were woken") {
  rill::event flag;
  auto waits = [](rill::event& on) -> rill::task<> { co_await on.wait(); };
  home here;
  here.spawn(waits(flag));
  here.turn();
  flag.set();
  flag.reset();
  CHECK_FALSE(flag.is_set());
  here.run();
  CHECK(here.left() == 0);

  here.spawn(waits(flag));
  here.turn();
  CHECK(here.left() == 1);
  flag.set();
  here.run();
  CHECK(here.left() == 0);
}

TEST_CASE("event: a woken task may destroy it while set is still at work") {
  auto waits_and_destroys = [](std::unique_ptr<rill::event> flag, int& woken) -> rill::task<> {
    co_await flag->wait();
    flag.reset();
    ++woken;
  };
  racer other;
  int destroyed = 0;
  for (int round = 0; round < stress(3000); ++round) {
    auto flag = std::make_unique<rill::event>();
    rill::event& reached = *flag;
    const std::function<void()> set = [&] { reached.set(); };
    home here;
    here.spawn(waits_and_destroys(std::move(flag), destroyed));
    if (round % 2 == 0) here.turn();
    other.go(set);
    here.run();
    other.wait();
  }
  CHECK(destroyed == stress(3000));
}

TEST_CASE("event: many tasks on two threads, one set") {
  for (int round = 0; round < stress(100); ++round) {
    rill::event flag;
    std::atomic<int> woken{0};
    auto waits = [](rill::event& on, std::atomic<int>& count) -> rill::task<> {
      co_await on.wait();
      ++count;
    };
    auto sets = [](rill::event& on) -> rill::task<> {
      on.set();
      co_return;
    };
    std::vector<std::vector<rill::task<>>> groups(2);
    for (int i = 0; i < 20; ++i) {
      groups[0].push_back(waits(flag, woken));
      groups[1].push_back(waits(flag, woken));
      if (i == round % 20) groups[1].push_back(sets(flag));
    }
    run_on_threads(std::move(groups));
    REQUIRE(woken == 40);
  }
}

}  // namespace
