// with_timeout: in time, too late, late with a value, and nested in one another.
#include "rill/coro/with_timeout.hpp"

#include "rill/coro/channel.hpp"
#include "rill/coro/sleep.hpp"
#include "rill/coro/uncancellable.hpp"
#include "rill/coro/when_all.hpp"
#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

using namespace rill_test;
using namespace std::chrono_literals;
using rill::task;
using rill::with_timeout;

constexpr std::int64_t ms = 1'000'000;

task<int> value_at(std::chrono::nanoseconds span, int value) {
  co_await rill::sleep_for(span);
  co_return value;
}

TEST_CASE("work that ends in time gives its value, and the timer is forgotten") {
  jumping_loop loop;
  const std::int64_t before = loop.now();
  CHECK(loop.run(with_timeout(100ms, value_at(30ms, 5))) == 5);
  CHECK(loop.now() - before == 30 * ms);
  CHECK(loop.run(with_timeout(1h, ready_value(6))) == 6);
  loop.run(with_timeout(1h, ready_nothing()));
  CHECK(loop.run(with_timeout(std::chrono::hours::max(), ready_value(7))) == 7);
  CHECK(loop.now() - before == 30 * ms);
  loop.run(value_at(50ms, 0));
  CHECK(loop.now() - before == 80 * ms);
}

TEST_CASE("work that takes too long is cancelled with the reason deadline, awaited, and timed out") {
  jumping_loop loop;
  rill::event never;
  log events;
  const std::int64_t before = loop.now();
  CHECK_THROWS_AS(loop.run(with_timeout(100ms, wait_and_log(never, events, "work"))), rill::timeout_error);
  CHECK(events == log{"work cancelled: the deadline passed", "~work"});
  CHECK(loop.now() - before == 100 * ms);
}

TEST_CASE("a value that comes late is given all the same, and so is another exception") {
  jumping_loop loop;
  rill::event never;
  auto late = [&](bool fail) -> task<std::string> {
    try {
      co_await never.wait();
    } catch (const rill::operation_cancelled&) {
      if (fail) throw std::runtime_error{"failed late"};
    }
    co_return "late";
  };
  CHECK(loop.run(with_timeout(1ms, late(false))) == "late");
  CHECK_THROWS_WITH_AS(loop.run(with_timeout(1ms, late(true))), "failed late", std::runtime_error);
  auto stubborn = [&]() -> task<int> { co_return co_await rill::uncancellable(value_at(10ms, 3)); };
  const std::int64_t before = loop.now();
  CHECK(loop.run(with_timeout(1ms, stubborn())) == 3);
  CHECK(loop.now() - before == 10 * ms);
}

TEST_CASE("no time at all: work that waits is timed out, work that is ready is not") {
  jumping_loop loop;
  rill::event never;
  rill::event set;
  set.set();
  log events;
  for (const auto span : {0ms, -5ms, std::chrono::milliseconds::min()}) {
    events.clear();
    CHECK_THROWS_AS(loop.run(with_timeout(span, wait_and_log(never, events, "work"))), rill::timeout_error);
    CHECK(events.size() == 2);
    CHECK(loop.run(with_timeout(span, ready_value(1))) == 1);
    CHECK_THROWS_AS(loop.run(with_timeout(span, never.wait())), rill::timeout_error);
    loop.run(with_timeout(span, set.wait()));
  }
}

TEST_CASE("an operation may be given directly, and one that is timed out has taken nothing") {
  jumping_loop loop;
  rill::channel<std::unique_ptr<int>> items{1};
  CHECK_THROWS_AS(static_cast<void>(loop.run(with_timeout(1ms, items.receive()))), rill::timeout_error);
  items.try_send(std::make_unique<int>(4));
  CHECK(**loop.run(with_timeout(1ms, items.receive())) == 4);
}

TEST_CASE("nested timeouts: the one that passed throws, the other lets it through") {
  jumping_loop loop;
  rill::event never;
  log events;
  auto inner = [&](std::chrono::milliseconds span) -> task<> {
    try {
      co_await with_timeout(span, wait_and_log(never, events, "work"));
    } catch (const rill::timeout_error&) {
      events.push_back("inner timed out");
      throw;
    } catch (const rill::operation_cancelled&) {
      events.push_back("inner cancelled");
      throw;
    }
  };
  SUBCASE("inner first") {
    CHECK_THROWS_AS(loop.run(with_timeout(20ms, inner(10ms))), rill::timeout_error);
    CHECK(events.back() == "inner timed out");
  }
  SUBCASE("outer first") {
    CHECK_THROWS_AS(loop.run(with_timeout(10ms, inner(20ms))), rill::timeout_error);
    CHECK(events.back() == "inner cancelled");
  }
}

TEST_CASE("cancellation from outside is not a timeout, not even when the time is up meanwhile") {
  jumping_loop loop;
  rill::event never;
  rill::cancellation_source source;
  std::string caught;
  auto slow = [&]() -> task<> {
    std::exception_ptr cancelled;
    try {
      co_await never.wait();
    } catch (const rill::operation_cancelled&) {
      cancelled = std::current_exception();
    }
    co_await rill::uncancellable(value_at(1s, 0));
    std::rethrow_exception(cancelled);
  };
  loop.spawn(
      [&]() -> task<> {
        try {
          co_await with_timeout(100ms, slow());
        } catch (const rill::operation_cancelled& why) {
          caught = why.what();
        }
      },
      source.token());
  loop.turn();
  source.cancel(rill::cancel_reason::shutdown);
  loop.run(value_at(2s, 0));
  CHECK(caught == "cancelled by shutdown");
}

TEST_CASE("time up and completion at once") {
  jumping_loop loop;
  rill::event gate;
  // Both timers are due in the same turn of the loop; whoever claims the wait first has it.
  auto setter = [&]() -> task<> {
    co_await rill::sleep_for(10ms);
    gate.set();
  };
  std::string outcome;
  auto waiter = [&]() -> task<> {
    try {
      co_await with_timeout(10ms, gate.wait());
      outcome = "value";
    } catch (const rill::timeout_error&) {
      outcome = "timeout";
    }
  };
  loop.run(rill::when_all(setter(), waiter()));
  CHECK((outcome == "value" || outcome == "timeout"));
}

TEST_CASE("the deadline in the context stays as it was") {
  jumping_loop loop;
  rill::task_context context;
  context.deadline = 123;
  const auto seen = loop.run(with_timeout(1ms, seen_context()), context);
  CHECK(seen.deadline == 123);
  CHECK(seen.home == &loop);
}

TEST_CASE("a home destroyed in the middle") {
  log events;
  rill::event never;
  {
    jumping_loop loop;
    loop.spawn([&]() -> task<> {
      witness gone{events, "outer"};
      co_await with_timeout(1h, with_timeout(2h, wait_and_log(never, events, "work")));
    });
    loop.turn();
  }
  CHECK(events == log{"~work", "~outer"});
}

TEST_CASE("half a million timeouts that do not pass") {
  jumping_loop loop;
  auto body = []() -> task<long> {
    long sum = 0;
    for (int i = 0; i < 500'000; ++i) sum += co_await with_timeout(1s, ready_value(i % 2));
    co_return sum;
  };
  CHECK(loop.run(body()) == 250'000);
}

}  // namespace
