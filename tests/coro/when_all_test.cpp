// when_all: values, the first failure, cancellation from both sides, and completions that race.
#include "rill/coro/when_all.hpp"

#include "rill/coro/channel.hpp"
#include "rill/coro/uncancellable.hpp"
#include "rill/coro/with_timeout.hpp"
#include "rill/coro/yield.hpp"
#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace rill_test;
using namespace std::chrono_literals;
using rill::sync_wait;
using rill::task;
using rill::when_all;

static_assert(
    std::is_same_v<rill::detail::await_result_t<decltype(when_all(ready_value(1), ready_nothing()))>,
                   std::tuple<int, std::monostate>>);
static_assert(
    std::is_void_v<rill::detail::await_result_t<decltype(when_all(ready_nothing(), ready_nothing()))>>);
static_assert(std::is_void_v<rill::detail::await_result_t<decltype(when_all(std::vector<task<>>{}))>>);

TEST_CASE("when_all gives the values in the order written") {
  CHECK(sync_wait(when_all(ready_value(1), ready_value(2))) == std::tuple{1, 2});
  CHECK(sync_wait(when_all(ready_nothing(), ready_value(2))) == std::tuple{std::monostate{}, 2});
  sync_wait(when_all(ready_nothing(), ready_nothing()));
  sync_wait(when_all());
  auto unique = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(3); };
  auto reference = [](int& to) -> task<int&> { co_return to; };
  int target = 0;
  auto both = sync_wait(when_all(unique(), reference(target)));
  CHECK(*std::get<0>(both) == 3);
  CHECK(&std::get<1>(both) == &target);
}

TEST_CASE("when_all of a vector") {
  std::vector<task<int>> work;
  for (int i = 0; i < 100; ++i) work.push_back(ready_value(i));
  const std::vector<int> values = sync_wait(when_all(std::move(work)));
  REQUIRE(values.size() == 100);
  for (int i = 0; i < 100; ++i) CHECK(values[static_cast<std::size_t>(i)] == i);
  CHECK(sync_wait(when_all(std::vector<task<int>>{})).empty());
  std::vector<task<>> nothing;
  nothing.push_back(ready_nothing());
  sync_wait(when_all(std::move(nothing)));
}

TEST_CASE("all are started in order before any is waited for, and end in any order") {
  rill::event first;
  rill::event second;
  log events;
  auto work = [&](rill::event& gate, std::string name) -> task<int> {
    events.push_back(name + " starts");
    co_await wait_and_log(gate, events, name);
    co_return static_cast<int>(name.size());
  };
  jumping_loop loop;
  std::tuple<int, int> values;
  loop.spawn([&]() -> task<> { values = co_await when_all(work(first, "a"), work(second, "bb")); });
  loop.turn();
  CHECK(events == log{"a starts", "bb starts"});
  second.set();
  loop.turn();
  CHECK(events == log{"a starts", "bb starts", "bb done", "~bb"});
  CHECK(values == std::tuple{0, 0});
  first.set();
  loop.turn();
  CHECK(values == std::tuple{1, 2});
}

TEST_CASE("operations and combinators can be awaited side by side, too") {
  rill::channel<int> numbers{1};
  rill::event never;
  auto [sent, received, timed] =
      sync_wait(when_all(numbers.send(5), numbers.receive(), rill::with_timeout(1h, ready_value(6))));
  CHECK(sent);
  CHECK(received == 5);
  CHECK(timed == 6);
}

TEST_CASE("the first failure cancels the others, and is thrown when they have ended") {
  rill::event never;
  rill::event fail;
  rill::event cleaned;
  log events;
  bool in_vector = false;
  SUBCASE("of a list") {}
  SUBCASE("of a vector") { in_vector = true; }
  auto slow_to_end = [&]() -> task<> {
    bool cancelled = false;
    try {
      co_await wait_and_log(never, events, "slow");
    } catch (const rill::operation_cancelled&) {
      cancelled = true;
    }
    CHECK(cancelled);
    co_await rill::uncancellable(cleaned.wait());
    events.push_back("slow has ended");
  };
  jumping_loop loop;
  loop.spawn([&]() -> task<> {
    try {
      if (in_vector) {
        std::vector<task<>> work;
        work.push_back(wait_and_log(never, events, "a"));
        work.push_back(fail_after(fail, "broken"));
        work.push_back(slow_to_end());
        co_await when_all(std::move(work));
      } else {
        co_await when_all(wait_and_log(never, events, "a"), fail_after(fail, "broken"), slow_to_end());
      }
    } catch (const std::runtime_error& error) {
      events.push_back(error.what());
    }
  });
  loop.turn();
  CHECK(events.empty());
  fail.set();
  loop.turn();
  CHECK(events == log{"a cancelled: cancelled", "~a", "slow cancelled: cancelled", "~slow"});
  cleaned.set();
  loop.turn();
  CHECK(events.size() == 6);
  CHECK(events[4] == "slow has ended");
  CHECK(events[5] == "broken");
}

TEST_CASE("a failure that comes at once still starts the others, cancelled") {
  rill::event never;
  log events;
  CHECK_THROWS_WITH(sync_wait(when_all(wait_and_log(never, events, "before"), ready_failure("at once"),
                                       wait_and_log(never, events, "after"))),
                    "at once");
  CHECK(events == log{"after cancelled: cancelled", "~after", "before cancelled: cancelled", "~before"});
}

TEST_CASE("of several failures the first is thrown") {
  rill::event gate;
  auto fail = [&](std::string what, bool first) -> task<> {
    if (first) {
      co_await gate.wait();
    } else {
      co_await rill::uncancellable(gate.wait());
    }
    throw std::runtime_error{what};
  };
  jumping_loop loop;
  std::string caught;
  loop.spawn([&]() -> task<> {
    try {
      co_await when_all(fail("a", false), fail("b", true), fail("c", false));
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
  });
  loop.turn();
  gate.set();
  loop.turn();
  CHECK(caught == "a");
}

TEST_CASE("a task that was moved from is a failure of its own") {
  sync_wait([]() -> task<> {
    task<int> from = ready_value(1);
    task<int> to = std::move(from);
    CHECK_THROWS_AS(static_cast<void>(co_await when_all(std::move(from), std::move(to))), rill::usage_error);
  }());
}

TEST_CASE("cancellation from outside flows into all of them with its reason") {
  rill::event never;
  rill::cancellation_source source;
  log events;
  std::string caught;
  jumping_loop loop;
  loop.spawn(
      [&]() -> task<> {
        try {
          co_await when_all(wait_and_log(never, events, "a"), wait_and_log(never, events, "b"));
        } catch (const rill::operation_cancelled& why) {
          caught = why.what();
        }
      },
      source.token());
  loop.turn();
  SUBCASE("while they wait") {
    source.cancel(rill::cancel_reason::shutdown);
    loop.turn();
    CHECK(events ==
          log{"a cancelled: cancelled by shutdown", "~a", "b cancelled: cancelled by shutdown", "~b"});
    CHECK(caught == "cancelled by shutdown");
  }
  SUBCASE("and not after they have ended") {
    never.set();
    loop.turn();
    source.cancel();
    loop.turn();
    CHECK(events == log{"a done", "~a", "b done", "~b"});
    CHECK(caught.empty());
  }
}

TEST_CASE("tasks that do not wait run to their end in a cancelled task") {
  rill::cancellation_source source;
  source.cancel();
  CHECK(sync_wait(when_all(ready_value(1), ready_value(2)), source.token()) == std::tuple{1, 2});
}

TEST_CASE("the branches inherit home, deadline and values") {
  jumping_loop loop;
  rill::task_context context;
  context.deadline = 99;
  const int value = 8;
  const rill::detail::context_value node{&rill::detail::type_key<int>, &value, nullptr};
  context.values = &node;
  const auto [a, b] = loop.run(when_all(seen_context(), seen_context()), context);
  CHECK(a.home == &loop);
  CHECK(a.deadline == 99);
  CHECK(*b.find<int>() == 8);
  CHECK(a.token == b.token);
  CHECK(a.token.can_be_cancelled());
}

TEST_CASE("a million times two tasks that are ready") {
  sync_wait([]() -> task<> {
    long sum = 0;
    for (int i = 0; i < 1'000'000; ++i) {
      auto [a, b] = co_await when_all(ready_value(i), ready_value(1));
      sum += a + b;
    }
    CHECK(sum == 500'000'500'000);
  }());
}

task<int> tree(int depth) {
  if (depth == 0) {
    co_await rill::yield();
    co_return 1;
  }
  auto [left, right] = co_await when_all(tree(depth - 1), tree(depth - 1));
  co_return left + right;
}

TEST_CASE("a tree of branches") { CHECK(sync_wait(tree(12)) == 4096); }

TEST_CASE("a home destroyed while branches wait: the branches go before what their parent owns") {
  log events;
  {
    rill::event never;
    jumping_loop loop;
    loop.spawn([&]() -> task<> {
      witness gone{events, "parent"};
      rill::event own;
      co_await when_all(wait_and_log(own, events, "a"), ready_nothing(), wait_and_log(never, events, "b"));
    });
    loop.turn();
    CHECK(events.empty());
  }
  CHECK(events.size() == 3);
  CHECK(events.back() == "~parent");
}

TEST_CASE("completion, failure and cancellation from other threads") {
  const int rounds = 2'000;
  std::atomic<rill::event*> to_set{nullptr};
  std::atomic<rill::cancellation_source*> to_cancel{nullptr};
  std::atomic<bool> stop{false};
  auto pump = [&](auto& slot, auto act) {
    while (!stop.load()) {
      if (auto* target = slot.load()) {
        act(*target);
        slot.store(nullptr);
      } else {
        std::this_thread::yield();
      }
    }
  };
  std::thread setter{[&] { pump(to_set, [](rill::event& gate) { gate.set(); }); }};
  std::thread canceller{[&] { pump(to_cancel, [](rill::cancellation_source& source) { source.cancel(); }); }};
  int completed = 0;
  int failed = 0;
  int cancelled = 0;
  for (int round = 0; round < rounds; ++round) {
    rill::event gate;
    rill::cancellation_source source;
    log events;
    auto body = [&]() -> task<> {
      to_set.store(&gate);
      if (round % 2 == 0) to_cancel.store(&source);
      auto last = [&]() -> task<> {
        co_await gate.wait();
        if (round % 3 == 0) throw std::runtime_error{"failed"};
      };
      co_await when_all(value_after(gate, 1), last(), value_after(gate, 2));
    };
    try {
      sync_wait(body(), source.token());
      ++completed;
    } catch (const std::runtime_error&) {
      ++failed;
    } catch (const rill::operation_cancelled&) {
      ++cancelled;
    }
    while (to_set.load() != nullptr || to_cancel.load() != nullptr) std::this_thread::yield();
  }
  stop.store(true);
  setter.join();
  canceller.join();
  CHECK(completed + failed + cancelled == rounds);
  CHECK(completed >= rounds / 3);
  CHECK(failed > 0);
}

}  // namespace
