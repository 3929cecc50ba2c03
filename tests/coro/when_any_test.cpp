// when_any: the first to end decides, whether by a value or a failure; the others are cancelled and awaited.
#include "rill/coro/when_any.hpp"

#include "rill/coro/channel.hpp"
#include "rill/coro/uncancellable.hpp"
#include "rill/coro/when_all.hpp"
#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace rill_test;
using rill::sync_wait;
using rill::task;
using rill::when_any;

static_assert(
    std::is_same_v<rill::detail::await_result_t<decltype(when_any(ready_value(1), ready_nothing()))>,
                   std::variant<int, std::monostate>>);
static_assert(
    std::is_same_v<rill::detail::await_result_t<decltype(when_any(std::vector<task<>>{}))>, std::size_t>);

TEST_CASE("the first to end gives the result; the others are cancelled and awaited") {
  rill::event first;
  rill::event second;
  rill::event cleaned;
  log events;
  auto loser = [&]() -> task<std::string> {
    try {
      co_await wait_and_log(second, events, "loser");
    } catch (const rill::operation_cancelled&) {
      events.push_back("cleaning up");
    }
    co_await rill::uncancellable(cleaned.wait());
    co_return "dropped";
  };
  jumping_loop loop;
  loop.spawn([&]() -> task<> {
    auto result = co_await when_any(loser(), value_after(first, 5));
    CHECK(result.index() == 1);
    CHECK(std::get<1>(result) == 5);
    events.push_back("decided");
  });
  loop.turn();
  first.set();
  loop.turn();
  CHECK(events == log{"loser cancelled: cancelled", "~loser", "cleaning up"});
  cleaned.set();
  loop.turn();
  CHECK(events.back() == "decided");
}

TEST_CASE("a vector gives the index and the value") {
  std::vector<rill::event> gates(3);
  jumping_loop loop;
  std::size_t which = 9;
  int value = 0;
  std::size_t which_nothing = 9;
  loop.spawn([&]() -> task<> {
    std::vector<task<int>> work;
    for (int i = 0; i < 3; ++i) work.push_back(value_after(gates[static_cast<std::size_t>(i)], 10 * i));
    auto [index, got] = co_await when_any(std::move(work));
    which = index;
    value = got;
    std::vector<task<>> nothing;
    rill::event never;
    log ignored;
    nothing.push_back(wait_and_log(never, ignored, "never"));
    nothing.push_back(ready_nothing());
    which_nothing = co_await when_any(std::move(nothing));
  });
  loop.turn();
  gates[2].set();
  loop.turn();
  CHECK(which == 2);
  CHECK(value == 20);
  CHECK(which_nothing == 1);
  CHECK_THROWS_AS(static_cast<void>(when_any(std::vector<task<int>>{})), rill::usage_error);
}

TEST_CASE("if the first to end failed, its exception is thrown; a loser's is dropped") {
  rill::event fail;
  rill::event never;
  log events;
  jumping_loop loop;
  std::string caught;
  loop.spawn([&]() -> task<> {
    try {
      co_await when_any(wait_and_log(never, events, "a"), fail_after(fail, "first"));
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    auto failing_loser = [&]() -> task<> {
      try {
        co_await never.wait();
      } catch (const rill::operation_cancelled&) {
        throw std::runtime_error{"loser"};
      }
    };
    auto result = co_await when_any(failing_loser(), ready_value(3));
    CHECK(std::get<1>(result) == 3);
  });
  loop.turn();
  fail.set();
  loop.turn();
  CHECK(caught == "first");
  CHECK(events == log{"a cancelled: cancelled", "~a"});
}

TEST_CASE("both at once: the one that is resumed first decides, and a value that comes too late is dropped") {
  rill::event gate;
  jumping_loop loop;
  std::size_t index = 9;
  loop.spawn([&]() -> task<> {
    auto result = co_await when_any(value_after(gate, 1), value_after(gate, 2));
    index = result.index();
  });
  loop.turn();
  gate.set();
  loop.turn();
  CHECK(index == 0);
}

TEST_CASE("operations can race too") {
  rill::channel<int> numbers{4};
  rill::event never;
  numbers.try_send(3);
  auto result = sync_wait(when_any(never.wait(), numbers.receive()));
  CHECK(std::get<1>(result) == 3);
}

TEST_CASE("cancellation from outside ends all, and is what is thrown") {
  rill::event never;
  rill::cancellation_source source;
  log events;
  jumping_loop loop;
  std::string caught;
  loop.spawn(
      [&]() -> task<> {
        try {
          co_await when_any(wait_and_log(never, events, "a"), wait_and_log(never, events, "b"));
        } catch (const rill::operation_cancelled& why) {
          caught = why.what();
        }
      },
      source.token());
  loop.turn();
  source.cancel(rill::cancel_reason::deadline);
  loop.turn();
  CHECK(caught == "the deadline passed");
  CHECK(events.size() == 4);
}

TEST_CASE("when_any within when_all within when_any") {
  rill::event never;
  rill::event gate;
  jumping_loop loop;
  int got = 0;
  loop.spawn([&]() -> task<> {
    auto result = co_await when_any(
        rill::when_all(when_any(value_after(never, 1), value_after(gate, 2)), value_after(gate, 3)),
        value_after(never, 4));
    auto [inner, three] = std::get<0>(result);
    got = 10 * std::get<1>(inner) + three;
  });
  loop.turn();
  gate.set();
  loop.turn();
  CHECK(got == 23);
}

TEST_CASE("half a million races of ready tasks") {
  sync_wait([]() -> task<> {
    long sum = 0;
    for (int i = 0; i < 500'000; ++i) {
      auto result = co_await when_any(ready_value(1), ready_nothing());
      sum += std::get<0>(result);
    }
    CHECK(sum == 500'000);
  }());
}

TEST_CASE("a home destroyed while branches race") {
  log events;
  rill::event never;
  {
    jumping_loop loop;
    loop.spawn([&]() -> task<> {
      witness gone{events, "parent"};
      co_await when_any(wait_and_log(never, events, "a"), wait_and_log(never, events, "b"));
    });
    loop.turn();
  }
  CHECK(events.size() == 3);
  CHECK(events.back() == "~parent");
}

TEST_CASE("completions from two threads at once: one wins, the other is dropped") {
  const int rounds = 2'000;
  std::atomic<rill::event*> to_set{nullptr};
  std::atomic<bool> stop{false};
  std::thread setter{[&] {
    while (!stop.load()) {
      if (rill::event* gate = to_set.load()) {
        gate->set();
        to_set.store(nullptr);
      } else {
        std::this_thread::yield();
      }
    }
  }};
  int wins[2] = {0, 0};
  for (int round = 0; round < rounds; ++round) {
    rill::event theirs;
    rill::event ours;
    auto race = [&]() -> task<std::size_t> {
      auto result = co_await when_any(value_after(theirs, 1), value_after(ours, 2));
      co_return result.index();
    };
    auto both = [&]() -> task<std::size_t> {
      auto set_ours = [&]() -> task<> {
        to_set.store(&theirs);
        for (int i = 0; i < round % 50; ++i) std::this_thread::yield();
        ours.set();
        co_return;
      };
      auto [index, nothing] = co_await rill::when_all(race(), set_ours());
      static_cast<void>(nothing);
      co_return index;
    };
    ++wins[sync_wait(both())];
    while (to_set.load() != nullptr) std::this_thread::yield();
  }
  stop.store(true);
  setter.join();
  CHECK(wins[0] + wins[1] == rounds);
}

}  // namespace
