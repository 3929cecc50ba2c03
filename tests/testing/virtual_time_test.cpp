// Virtual time: waits take none, order is by time, and a test that nothing can wake fails instead of hanging.
#include <rill/coro/channel.hpp>
#include <rill/coro/sleep.hpp>
#include <rill/coro/task.hpp>
#include <rill/coro/this_context.hpp>
#include <rill/coro/uncancellable.hpp>
#include <rill/coro/when_all.hpp>
#include <rill/coro/with_timeout.hpp>
#include <rill/engine/cq/blocking.hpp>
#include <rill/testing/virtual_time.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

using namespace std::chrono_literals;
using rill::task;

TEST_CASE("an hour passes at once, and exactly") {
  const auto real = std::chrono::steady_clock::now();
  auto body = []() -> task<std::int64_t> {
    const rill::task_context& context = co_await rill::this_context();
    const std::int64_t before = context.home->now();
    co_await rill::sleep_for(1h);
    co_return context.home->now() - before;
  };
  const std::int64_t passed = rill::testing::run(body());
  CHECK(passed == std::chrono::nanoseconds{1h}.count());
  CHECK(std::chrono::steady_clock::now() - real < 1min);
}

TEST_CASE("tasks wake in the order of their times, not of their start") {
  std::string order;
  auto wait = [&](std::chrono::hours time, char name) -> task<> {
    co_await rill::sleep_for(time);
    order += name;
  };
  auto body = [&]() -> task<> { co_await rill::when_all(wait(3h, 'c'), wait(1h, 'a'), wait(2h, 'b')); };
  rill::testing::run(body());
  CHECK(order == "abc");
}

TEST_CASE("time stands still while there is something to do") {
  auto body = []() -> task<> {
    rill::channel<int> items{1};
    auto send = [&]() -> task<> {
      for (int i = 0; i < 1000; ++i) co_await items.send(int{i});
    };
    auto receive = [&]() -> task<> {
      for (int i = 0; i < 1000; ++i) co_await items.receive();
    };
    co_await rill::with_timeout(1ns, rill::when_all(send(), receive()));
  };
  CHECK_NOTHROW(rill::testing::run(body()));
}

TEST_CASE("values and exceptions come out of run") {
  auto value = []() -> task<std::string> { co_return "value"; };
  CHECK(rill::testing::run(value()) == "value");
  auto failing = []() -> task<> {
    co_await rill::sleep_for(1s);
    throw std::runtime_error{"failed"};
  };
  CHECK_THROWS_AS(rill::testing::run(failing()), std::runtime_error);
}

TEST_CASE("a task that nothing can wake is a deadlock_error, after it was unwound") {
  bool unwound = false;
  auto body = [&]() -> task<> {
    rill::channel<int> nobody_sends{1};
    try {
      co_await nobody_sends.receive();
    } catch (const rill::operation_cancelled&) {
      unwound = true;
    }
    co_await rill::uncancellable(rill::sleep_for(1s));  // clean-up may still wait
  };
  CHECK_THROWS_AS(rill::testing::run(body()), rill::testing::deadlock_error);
  CHECK(unwound);
}

TEST_CASE("a task that cannot be unwound either is freed") {
  auto body = []() -> task<> {
    rill::channel<int> nobody_sends{1};
    co_await rill::uncancellable(nobody_sends.receive());
  };
  CHECK_THROWS_AS(rill::testing::run(body()), rill::testing::deadlock_error);
}

TEST_CASE("outside_work makes the clock wait for other threads") {
  auto body = []() -> task<> {
    const rill::task_context& context = co_await rill::this_context();
    const rill::testing::outside_work waiting{context};
    const std::int64_t before = context.home->now();
    auto work = [] {
      std::this_thread::sleep_for(20ms);  // real time, which the virtual timeout must not see
      return 7;
    };
    const int result = co_await rill::with_timeout(1ms, rill::run_blocking(work));
    CHECK(result == 7);
    CHECK(context.home->now() == before);
  };
  rill::testing::run(body());
}

}  // namespace
