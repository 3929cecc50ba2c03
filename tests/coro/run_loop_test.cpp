// run_loop: the order of work and timers, posts from other threads, and its end.
#include "rill/coro/detail/run_loop.hpp"

#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace {

using rill::detail::run_loop;
using rill::detail::timer_node;
using rill::detail::work_item;

/// Calls a function with what `invoke` was given.
struct job : work_item {
  explicit job(std::function<void(bool)> f) : work_item{&call}, function{std::move(f)} {}
  static void call(work_item& item, bool run) noexcept { static_cast<job&>(item).function(run); }
  std::function<void(bool)> function;
};

struct alarm : timer_node {
  explicit alarm(std::int64_t at, std::function<void()> f) : timer_node{&call}, function{std::move(f)} {
    due = at;
  }
  static void call(timer_node& timer) noexcept { static_cast<alarm&>(timer).function(); }
  std::function<void()> function;
};

TEST_CASE("posted work runs in order, also what it posts itself") {
  run_loop loop;
  std::vector<int> order;
  bool done = false;
  job last{[&](bool) { done = true; }};
  job third{[&](bool run) {
    CHECK(run);
    order.push_back(3);
    loop.post(last);
  }};
  job first{[&](bool) {
    order.push_back(1);
    loop.post(third);
  }};
  job second{[&](bool) { order.push_back(2); }};
  loop.post(first);
  loop.post(second);
  CHECK(order.empty());
  loop.run_until(done);
  CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("run_until stops in the middle, and goes on where it was") {
  run_loop loop;
  std::vector<int> order;
  bool first_done = false;
  bool second_done = false;
  job first{[&](bool) {
    order.push_back(1);
    first_done = true;
  }};
  job second{[&](bool) { order.push_back(2); }};
  job third{[&](bool) {
    order.push_back(3);
    second_done = true;
  }};
  loop.post(first);
  loop.post(second);
  loop.run_until(first_done);
  CHECK(order == std::vector{1});
  loop.post(third);
  loop.run_until(second_done);
  CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("timers fire in the order of their times, never early, unless they are cancelled") {
  run_loop loop;
  const std::int64_t start = loop.now();
  std::vector<int> order;
  bool done = false;
  std::deque<alarm> alarms;
  const auto add = [&](int delay_us) -> alarm& {
    const std::int64_t due = start + delay_us * 1'000;
    alarm& added = alarms.emplace_back(due, [&order, &loop, due, delay_us] {
      CHECK(loop.now() >= due);
      order.push_back(delay_us);
    });
    loop.add_timer(added);
    return added;
  };
  add(300);
  add(100);
  alarm& cancelled = add(200);
  add(-5);
  alarm last{start + 400'000, [&] { done = true; }};
  loop.add_timer(last);
  loop.cancel_timer(cancelled);
  loop.cancel_timer(cancelled);
  loop.run_until(done);
  CHECK(order == std::vector{-5, 100, 300});
  loop.cancel_timer(alarms.front());
}

TEST_CASE("many timers, added and cancelled at random, fire in order") {
  rill_test::jumping_loop loop;
  unsigned state = 12345;
  const auto random = [&](unsigned below) {
    state = state * 1664525U + 1013904223U;
    return (state >> 16) % below;
  };
  std::int64_t latest = 0;
  int fired = 0;
  int expected = 0;
  std::vector<std::unique_ptr<alarm>> alarms;
  std::vector<bool> live;
  for (int i = 0; i < 5'000; ++i) {
    const std::int64_t due = loop.now() + 1 + random(1'000'000);
    alarms.push_back(std::make_unique<alarm>(due, [&, due] {
      CHECK(due >= latest);
      CHECK(loop.now() >= due);
      latest = due;
      ++fired;
    }));
    loop.add_timer(*alarms.back());
    live.push_back(true);
    ++expected;
    const std::size_t victim = random(static_cast<unsigned>(alarms.size()));
    if (i % 3 == 0 && live[victim]) {
      loop.cancel_timer(*alarms[victim]);
      live[victim] = false;
      --expected;
    }
  }
  bool done = false;
  alarm last{loop.now() + 2'000'000, [&] { done = true; }};
  loop.add_timer(last);
  loop.run_until(done);
  CHECK(fired == expected);
}

TEST_CASE("timers are served although work never ends") {
  run_loop* at = nullptr;
  job again{[&](bool run) {
    if (run) at->post(again);
  }};
  bool done = false;
  alarm timer{0, [&] { done = true; }};
  run_loop loop;
  at = &loop;
  timer.due = loop.now() + 50'000;
  loop.add_timer(timer);
  loop.post(again);
  loop.run_until(done);
  CHECK(done);
}

TEST_CASE("posts from other threads all arrive, and wake the loop") {
  run_loop loop;
  const int each = 5'000;
  int arrived = 0;  // on the loop only
  bool done = false;
  std::array<std::deque<job>, 3> jobs;
  std::vector<std::thread> threads;
  for (std::deque<job>& mine : jobs) {
    threads.emplace_back([&] {
      for (int i = 0; i < each; ++i) {
        loop.post(mine.emplace_back([&](bool) {
          if (++arrived == 3 * each) done = true;
        }));
      }
    });
  }
  loop.run_until(done);
  for (std::thread& thread : threads) thread.join();
  CHECK(arrived == 3 * each);
}

TEST_CASE("a loop that is destroyed tells what it did not run, also what is posted meanwhile") {
  int dropped = 0;
  job late{[&](bool run) {
    CHECK_FALSE(run);
    ++dropped;
  }};
  run_loop* at = nullptr;
  job early{[&](bool run) {
    CHECK_FALSE(run);
    ++dropped;
    at->post(late);
  }};
  {
    run_loop loop;
    at = &loop;
    loop.post(early);
  }
  CHECK(dropped == 2);
}

}  // namespace
