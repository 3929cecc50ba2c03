// task: results, failures, laziness, ownership, contexts, and chains that are long or deep.
#include "rill/coro/task.hpp"

#include "rill/coro/yield.hpp"
#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace rill_test;
using rill::sync_wait;
using rill::task;

static_assert(rill::detail::awaitable<task<int>>);
static_assert(!rill::detail::awaitable<task<int>&>);
static_assert(!rill::detail::awaitable<int>);
static_assert(!rill::detail::awaitable<std::suspend_always>);
template <class A>
concept has_awaiter = requires(A&& work) { static_cast<A&&>(work).operator co_await(); };
static_assert(has_awaiter<task<int>>);
static_assert(!has_awaiter<task<int>&>);
static_assert(!std::is_copy_constructible_v<task<int>>);

struct counted {
  explicit counted(int& alive) : alive_{&alive} { ++*alive_; }
  counted(counted&& other) noexcept : alive_{other.alive_} { ++*alive_; }
  counted& operator=(counted&&) = delete;
  ~counted() { --*alive_; }
  int* alive_;
};

task<std::unique_ptr<int>> move_only() { co_return std::make_unique<int>(7); }
task<int&> reference_to(int& target) { co_return target; }
task<std::optional<std::string>> braces() { co_return {}; }
task<std::pair<int, std::string>> braced_pair() { co_return {1, "one"}; }
task<std::string> converted() { co_return "literal"; }

TEST_CASE("a task gives its value") {
  CHECK(sync_wait(ready_value(42)) == 42);
  CHECK(*sync_wait(move_only()) == 7);
  int target = 1;
  CHECK(&sync_wait(reference_to(target)) == &target);
  CHECK_FALSE(sync_wait(braces()).has_value());
  CHECK(sync_wait(braced_pair()) == std::pair<int, std::string>{1, "one"});
  CHECK(sync_wait(converted()) == "literal");
  sync_wait(ready_nothing());
}

TEST_CASE("an exception passes through every task of the chain") {
  auto outer = []() -> task<int> { co_return co_await ready_failure("deep down"); };
  CHECK_THROWS_WITH_AS(sync_wait(outer()), "deep down", std::runtime_error);
  auto handled = [&]() -> task<std::string> {
    try {
      co_await outer();
    } catch (const std::runtime_error& error) {
      co_return error.what();
    }
    co_return "nothing";
  };
  CHECK(sync_wait(handled()) == "deep down");
}

TEST_CASE("a result is destroyed as often as it is made") {
  int alive = 0;
  auto make = [&]() -> task<counted> { co_return counted{alive}; };
  SUBCASE("taken") { CHECK(sync_wait(make()).alive_ == &alive); }
  SUBCASE("dropped") {
    sync_wait([&]() -> task<> { static_cast<void>(co_await make()); }());
  }
  SUBCASE("the consumer throws") {
    auto consume = [&]() -> task<> {
      counted kept = co_await make();
      throw std::runtime_error{"after " + std::to_string(*kept.alive_)};
    };
    CHECK_THROWS_WITH(sync_wait(consume()), "after 1");
  }
  CHECK(alive == 0);
}

TEST_CASE("a task starts when it is awaited, not before") {
  log events;
  auto body = [&](witness) -> task<> {
    events.push_back("started");
    co_return;
  };
  SUBCASE("never awaited") {
    {
      task<> unused = body(witness{events, "argument"});
    }
    CHECK(events == log{"~argument"});
  }
  SUBCASE("awaited later") {
    sync_wait([&]() -> task<> {
      task<> later = body(witness{events, "argument"});
      events.push_back("before");
      co_await std::move(later);
      CHECK_FALSE(later);
      events.push_back("after");
    }());
    CHECK(events == log{"before", "started", "~argument", "after"});
  }
}

TEST_CASE("awaiting a task a second time is a usage error") {
  sync_wait([]() -> task<> {
    task<int> once = ready_value(1);
    CHECK(co_await std::move(once) == 1);
    CHECK_THROWS_AS(co_await std::move(once), rill::usage_error);
    task<int> from = ready_value(2);
    task<int> to = std::move(from);
    CHECK_THROWS_AS(co_await std::move(from), rill::usage_error);
    CHECK(co_await std::move(to) == 2);
  }());
}

TEST_CASE("a child has its parent's context") {
  rill::task_context context;
  context.deadline = 77;
  rill::cancellation_source source;
  context.token = source.token();
  const int value = 5;
  const rill::detail::context_value node{&rill::detail::type_key<int>, &value, nullptr};
  context.values = &node;
  jumping_loop loop;
  auto parent = []() -> task<rill::task_context> {
    rill::task_context& mine = co_await rill::this_context();
    auto child = [](rill::task_context& expected) -> task<bool> {
      co_return &expected == &co_await rill::this_context();
    };
    CHECK(co_await child(mine));
    co_return mine;
  };
  const rill::task_context seen = loop.run(parent(), context);
  CHECK(seen.home == &loop);
  CHECK(seen.deadline == 77);
  CHECK(seen.token == source.token());
  CHECK(*seen.find<int>() == 5);
  CHECK(seen.find<long>() == nullptr);
}

TEST_CASE("a million awaits of children that are ready at once") {
  auto loop = []() -> task<long> {
    long sum = 0;
    for (int i = 0; i < 1'000'000; ++i) sum += co_await ready_value(i);
    co_return sum;
  };
  CHECK(sync_wait(loop()) == 499'999'500'000);
}

TEST_CASE("a hundred thousand awaits of children that suspend") {
  auto child = [](int i) -> task<int> {
    if (i % 3 != 0) co_await rill::yield();
    co_return i;
  };
  auto loop = [&]() -> task<long> {
    long sum = 0;
    for (int i = 0; i < 100'000; ++i) sum += co_await child(i);
    co_return sum;
  };
  CHECK(sync_wait(loop()) == 4'999'950'000);
}

task<int> descend(int depth, rill::event* bottom) {
  if (depth == 0) {
    if (bottom != nullptr) co_await bottom->wait();
    co_return 0;
  }
  co_return 1 + co_await descend(depth - 1, bottom);
}

TEST_CASE("a deep chain of awaits") {
  SUBCASE("that completes at once") { CHECK(sync_wait(descend(deep, nullptr)) == deep); }
  SUBCASE("that is suspended at the bottom") {
    rill::event bottom;
    jumping_loop loop;
    int reached = 0;
    loop.spawn([](rill::event& at, int& to) -> task<> { to = co_await descend(deep, &at); }(bottom, reached));
    loop.turn();
    CHECK(reached == 0);
    bottom.set();
    loop.turn();
    CHECK(reached == deep);
  }
}

TEST_CASE("a home that is destroyed destroys what is suspended on it, from the inside out") {
  log events;
  rill::event never;
  auto inner = [&]() -> task<> {
    witness gone{events, "inner"};
    co_await never.wait();
  };
  auto outer = [&]() -> task<> {
    witness gone{events, "outer"};
    co_await inner();
  };
  {
    jumping_loop loop;
    loop.spawn(outer());
    loop.turn();
    loop.spawn(outer());
    CHECK(events.empty());
  }
  CHECK(events == log{"~inner", "~outer"});
  never.set();
}

TEST_CASE("a task that lives elsewhere ends with the awaiter that is destroyed") {
  log events;
  rill::event gate;
  task<> elsewhere = wait_and_log(gate, events, "elsewhere");
  {
    jumping_loop loop;
    loop.spawn([](task<>& work) -> task<> { co_await std::move(work); }(elsewhere));
    loop.turn();
    CHECK(events.empty());
  }
  CHECK(events == log{"~elsewhere"});
  gate.set();
  CHECK(events == log{"~elsewhere"});
}

TEST_CASE("a cancelled task unwinds through its handlers") {
  log events;
  rill::event never;
  rill::cancellation_source source;
  jumping_loop loop;
  loop.spawn(wait_and_log(never, events, "task"), source.token());
  loop.turn();
  source.cancel(rill::cancel_reason::shutdown);
  CHECK(events.empty());
  loop.turn();
  CHECK(events == log{"task cancelled: cancelled by shutdown", "~task"});
}

TEST_CASE("completion and cancellation at once: exactly one of them counts") {
  for (const bool cancel_first : {false, true}) {
    log events;
    rill::event gate;
    rill::cancellation_source source;
    jumping_loop loop;
    loop.spawn(wait_and_log(gate, events, "task"), source.token());
    loop.turn();
    if (cancel_first) source.cancel();
    gate.set();
    source.cancel();
    loop.turn();
    CHECK(events == log{cancel_first ? "task cancelled: cancelled" : "task done", "~task"});
  }
}

// Forms that compilers have got wrong.
task<std::string> described(std::string text, int number) { co_return text + std::to_string(number); }
int thrower(const char* what) { throw std::runtime_error{what}; }

TEST_CASE("awaits in the places where they are usually written") {
  sync_wait([]() -> task<> {
    int left = 3;
    auto countdown = [&]() -> task<std::optional<int>> {
      if (left == 0) co_return std::nullopt;
      co_return left--;
    };
    int sum = 0;
    while (auto at = co_await countdown()) sum += *at;
    CHECK(sum == 6);
    auto [number, name] = co_await braced_pair();
    CHECK(number == 1);
    CHECK(name == "one");
    CHECK((co_await described("a", 1) + co_await described(co_await described("b", 2), 3)) == "a1b23");
    CHECK_THROWS_WITH(co_await described("x", thrower("argument")), "argument");
    if (std::string both = co_await described(co_await described("c", 4), co_await ready_value(5)); true) {
      CHECK(both == "c45");
    }
  }());
}

}  // namespace
