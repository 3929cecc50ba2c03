// yield: taking turns, cancellation, and a destroyed home.
#include "rill/coro/yield.hpp"

#include "rill/coro/sync_wait.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace rill_test;

namespace {

TEST_CASE("yield: tasks take turns") {
  std::vector<int> order;
  auto takes_turns = [](std::vector<int>& log, int name) -> rill::task<> {
    for (int turn = 0; turn < 3; ++turn) {
      log.push_back(name);
      co_await rill::yield();
    }
  };
  home here;
  here.spawn(takes_turns(order, 1));
  here.spawn(takes_turns(order, 2));
  here.run();
  CHECK(order == std::vector<int>{1, 2, 1, 2, 1, 2});
}

TEST_CASE("yield: throws when cancelled before, and when cancelled meanwhile") {
  int passed = 0;
  auto yields = [](int& count) -> rill::task<> {
    try {
      for (;;) {
        co_await rill::yield();
        ++count;
      }
    } catch (const rill::operation_cancelled& e) {
      CHECK(e.reason() == rill::cancel_reason::shutdown);
    }
  };
  rill::cancellation_source stop;
  home here;
  here.spawn(yields(passed), stop.token());
  here.turn();
  here.turn();
  const int before = passed;
  stop.cancel(rill::cancel_reason::shutdown);
  here.run();
  CHECK(passed == before);

  here.spawn(yields(passed), stop.token());
  here.run();
  CHECK(passed == before);
}

TEST_CASE("yield: its home may be destroyed while it is in the queue") {
  bool passed = false;
  auto yields = [](bool& done) -> rill::task<> {
    co_await rill::yield();
    done = true;
  };
  {
    home here;
    here.spawn(yields(passed));
    here.turn();
    CHECK(here.left() == 1);
  }
  CHECK_FALSE(passed);
}

TEST_CASE("yield: a million in a row") {
  auto yields = []() -> rill::task<int> {
    int count = 0;
    for (int turn = 0; turn < 1'000'000; ++turn) {
      co_await rill::yield();
      ++count;
    }
    co_return count;
  };
  CHECK(rill::sync_wait(yields()) == 1'000'000);
}

}  // namespace
