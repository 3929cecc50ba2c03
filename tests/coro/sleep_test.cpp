// sleep: punctuality, order, extreme spans, and cancellation at every moment.
#include "rill/coro/sleep.hpp"

#include "rill/coro/sync_wait.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

using namespace rill_test;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

namespace {

TEST_CASE("sleep: never early, by span and by moment") {
  auto sleeps = []() -> rill::task<> {
    const auto begin = steady::now();
    co_await rill::sleep_for(3ms);
    CHECK(steady::now() - begin >= 3ms);
    const auto moment = steady::now() + 2ms;
    co_await rill::sleep_until(moment);
    CHECK(steady::now() >= moment);
    co_await rill::sleep_for(std::chrono::duration<double>{0.001});
  };
  rill::sync_wait(sleeps());
}

TEST_CASE("sleep: what is over already takes no time") {
  auto sleeps = []() -> rill::task<> {
    co_await rill::sleep_for(0s);
    co_await rill::sleep_for(-1h);
    co_await rill::sleep_until(steady::now() - 1h);
    co_await rill::sleep_until(steady::time_point::min());
    co_await rill::sleep_for(std::chrono::hours::min());
  };
  bool done = false;
  auto notes = [&]() -> rill::task<> {
    co_await sleeps();
    done = true;
  };
  home here;
  here.spawn(notes());
  here.turn();
  CHECK(done);
}

TEST_CASE("sleep: a span that is too long for the clock never ends, and can be cancelled") {
  auto sleeps = [](std::vector<int>& ended, int name) -> rill::task<> {
    try {
      if (name == 0) co_await rill::sleep_for(std::chrono::hours::max());
      if (name == 1) co_await rill::sleep_for(std::chrono::nanoseconds::max());
      if (name == 2) co_await rill::sleep_until(steady::time_point::max());
      if (name == 3) co_await rill::sleep_for(std::chrono::duration<double>{1e300});
      ended.push_back(-1);
    } catch (const rill::operation_cancelled&) {
      ended.push_back(name);
    }
  };
  std::vector<int> ended;
  rill::cancellation_source stop;
  home here;
  for (int name = 0; name < 4; ++name) here.spawn(sleeps(ended, name), stop.token());
  here.turn();
  here.turn();
  CHECK(ended.empty());
  stop.cancel();
  here.run();
  CHECK(ended == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE("sleep: tasks wake in the order of their moments, equal ones in the order in which they came") {
  auto sleeps = [](steady::time_point moment, std::vector<int>& log, int name) -> rill::task<> {
    co_await rill::sleep_until(moment);
    log.push_back(name);
  };
  std::vector<int> order;
  home here;
  const auto soon = steady::now() + 5ms;
  here.spawn(sleeps(soon + 3ms, order, 4));
  here.spawn(sleeps(soon, order, 0));
  here.spawn(sleeps(soon, order, 1));
  here.spawn(sleeps(soon, order, 2));
  here.spawn(sleeps(soon, order, 3));
  here.run();
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("sleep: cancelled before, while it waits, and on another thread") {
  ending how = ending::none;
  auto sleeps = [&]() -> rill::task<> {
    try {
      co_await rill::sleep_for(1h);
      how = ending::completed;
    } catch (const rill::operation_cancelled& e) {
      CHECK(e.reason() == rill::cancel_reason::deadline);
      how = ending::cancelled;
    }
  };
  rill::cancellation_source stop;
  home here;
  SUBCASE("before") { stop.cancel(rill::cancel_reason::deadline); }
  SUBCASE("while it waits") {
    here.spawn(sleeps(), stop.token());
    here.turn();
    stop.cancel(rill::cancel_reason::deadline);
    here.run();
    CHECK(how == ending::cancelled);
  }
  SUBCASE("on another thread") {
    racer other;
    const std::function<void()> cancel = [&] { stop.cancel(rill::cancel_reason::deadline); };
    here.spawn(sleeps(), stop.token());
    here.turn();
    other.go(cancel);
    here.run();
    other.wait();
    CHECK(how == ending::cancelled);
  }
  here.spawn(sleeps(), stop.token());
  here.run();
  CHECK(how == ending::cancelled);
}

TEST_CASE("sleep: over and cancelled at once ends it once") {
  racer other;
  dice roll{3};
  int ended = 0;
  int completed = 0;
  auto sleeps = [&](std::chrono::microseconds span) -> rill::task<> {
    try {
      co_await rill::sleep_for(span);
      ++completed;
    } catch (const rill::operation_cancelled&) {
    }
    ++ended;
  };
  const int rounds = stress(3000);
  for (int round = 0; round < rounds; ++round) {
    rill::cancellation_source stop;
    const unsigned delay = roll(4000);
    const std::function<void()> cancel = [&] {
      spin(delay);
      stop.cancel();
    };
    home here;
    here.spawn(sleeps(std::chrono::microseconds{roll(40)}), stop.token());
    here.turn();
    other.go(cancel);
    here.run();
    other.wait();
  }
  CHECK(ended == rounds);
  CHECK(completed > 0);
  CHECK(completed < rounds);
}

TEST_CASE("sleep: its home may be destroyed while it waits") {
  bool woke = false;
  auto sleeps = [&]() -> rill::task<> {
    co_await rill::sleep_for(1ms);
    woke = true;
  };
  {
    home here;
    for (int i = 0; i < 10; ++i) here.spawn(sleeps());
    here.turn();
  }
  CHECK_FALSE(woke);
}

/// Starts at 0 and goes straight to the next timer when there is nothing else to do.
class jumping_loop : public rill::detail::run_loop {
 public:
  [[nodiscard]] std::int64_t now() const noexcept override { return now_; }

 private:
  void park(std::int64_t due) noexcept override { now_ = due; }
  std::int64_t now_ = 0;
};

TEST_CASE("sleep: thousands of sleeps, a third of them cancelled, end in order and exactly in time") {
  const int count = stress(20'000);
  int woke = 0;
  int cancelled = 0;
  int wrong = 0;
  std::pair<std::int64_t, int> latest{0, -1};
  rill::cancellation_source stop;
  basic_home<jumping_loop> here;
  auto sleeps = [&](int name, std::int64_t span) -> rill::task<> {
    try {
      co_await rill::sleep_for(std::chrono::nanoseconds{span});
      ++woke;
      const std::pair<std::int64_t, int> mine{span, name};
      if (here.loop().now() != span || mine < latest) ++wrong;
      latest = mine;
    } catch (const rill::operation_cancelled&) {
      ++cancelled;
    }
  };
  dice roll{5};
  for (int i = 0; i < count; ++i) {
    here.spawn(sleeps(i, 1 + roll(5000)), i % 3 == 0 ? stop.token() : rill::cancellation_token{});
  }
  here.turn();
  stop.cancel();
  here.run();
  CHECK(cancelled == (count + 2) / 3);
  CHECK(woke == count - cancelled);
  CHECK(wrong == 0);
}

}  // namespace
