// async_generator: sequences, failures, cancellation at a co_yield, fairness, and being dropped early.
#include "rill/coro/async_generator.hpp"

#include "rill/coro/with_value.hpp"
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
using rill::async_generator;
using rill::sync_wait;
using rill::task;

async_generator<int> count_to(int last) {
  for (int i = 1; i <= last; ++i) co_yield i;
}

template <class T>
task<std::vector<T>> collect(async_generator<T> items) {
  std::vector<T> all;
  while (auto item = co_await items.next()) all.push_back(std::move(*item));
  co_return all;
}

/// Tells how it was made.
struct traced {
  traced() = default;
  traced(const traced& other) : copies{other.copies + 1}, moves{other.moves} {}
  traced(traced&& other) noexcept : copies{other.copies}, moves{other.moves + 1} {}
  int copies = 0;
  int moves = 0;
};

TEST_CASE("a generator gives its items in order, then the end for ever") {
  CHECK(sync_wait(collect(count_to(4))) == std::vector{1, 2, 3, 4});
  CHECK(sync_wait(collect(count_to(0))).empty());
  sync_wait([]() -> task<> {
    auto one = count_to(1);
    CHECK(co_await one.next() == 1);
    CHECK_FALSE((co_await one.next()).has_value());
    CHECK_FALSE((co_await one.next()).has_value());
    CHECK(co_await one.next_ref() == nullptr);
  }());
}

TEST_CASE("a generator may await between its items") {
  rill::event gate;
  log events;
  auto slow = [&]() -> async_generator<std::string> {
    co_yield "first";
    co_await gate.wait();
    co_yield std::string{"second"} + std::to_string(co_await ready_value(2));
  };
  jumping_loop loop;
  loop.spawn([&]() -> task<> {
    auto items = slow();
    while (auto item = co_await items.next()) events.push_back(*item);
    events.push_back("end");
  });
  loop.turn();
  CHECK(events == log{"first"});
  gate.set();
  loop.turn();
  CHECK(events == log{"first", "second2", "end"});
}

TEST_CASE("an item is moved if it was an rvalue, copied if not, and neither by next_ref") {
  sync_wait([]() -> task<> {
    const traced* address = nullptr;
    auto make = [&]() -> async_generator<traced> {
      traced kept;
      address = &kept;
      co_yield kept;
      co_yield traced{};
      co_yield kept;
      co_yield std::move(kept);
    };
    auto items = make();
    const auto copied = co_await items.next();
    CHECK(copied->copies == 1);
    const auto moved = co_await items.next();
    CHECK(moved->copies == 0);
    CHECK(co_await items.next_ref() == address);
    CHECK(address->copies + address->moves == 0);
    CHECK((co_await items.next_ref())->moves == 0);
    CHECK(co_await items.next_ref() == nullptr);
  }());
}

TEST_CASE("items may be move-only") {
  auto make = []() -> async_generator<std::unique_ptr<int>> {
    co_yield std::make_unique<int>(1);
    auto kept = std::make_unique<int>(2);
    co_yield std::move(kept);
  };
  const auto all = sync_wait(collect(make()));
  CHECK(all.size() == 2);
  CHECK(*all[0] + *all[1] == 3);
}

TEST_CASE("what a generator throws arrives at its consumer, once") {
  auto failing = [](bool wait) -> async_generator<int> {
    co_yield 1;
    if (wait) co_await rill::yield();
    throw std::runtime_error{"no second"};
  };
  for (const bool wait : {false, true}) {
    sync_wait([&]() -> task<> {
      auto items = failing(wait);
      CHECK(co_await items.next() == 1);
      CHECK_THROWS_WITH(static_cast<void>(co_await items.next()), "no second");
      CHECK_FALSE((co_await items.next()).has_value());
    }());
  }
}

TEST_CASE("a generator that is dropped early destroys its frame where it rests") {
  log events;
  auto make = [&]() -> async_generator<int> {
    witness gone{events, "generator"};
    for (int i = 0;; ++i) co_yield i;
  };
  SUBCASE("before its first item") {
    static_cast<void>(make());
    CHECK(events.empty());
  }
  SUBCASE("at an item") {
    sync_wait([&]() -> task<> {
      {
        auto items = make();
        CHECK(co_await items.next() == 0);
        CHECK(co_await items.next() == 1);
      }
      CHECK(events == log{"~generator"});
    }());
  }
  SUBCASE("by an assignment") {
    sync_wait([&]() -> task<> {
      auto items = make();
      CHECK(co_await items.next() == 0);
      items = count_to(1);
      CHECK(events == log{"~generator"});
      CHECK(co_await items.next() == 1);
    }());
  }
}

TEST_CASE("a moved generator goes on where it was; the one moved from is a usage error") {
  sync_wait([]() -> task<> {
    auto from = count_to(3);
    CHECK(co_await from.next() == 1);
    auto to = std::move(from);
    CHECK_FALSE(from);
    CHECK_THROWS_AS(static_cast<void>(co_await from.next()), rill::usage_error);
    CHECK(co_await to.next() == 2);
  }());
}

TEST_CASE("a million items of a generator that never waits") {
  sync_wait([]() -> task<> {
    long sum = 0;
    auto items = count_to(1'000'000);
    while (auto item = co_await items.next()) sum += *item;
    CHECK(sum == 500'000'500'000);
  }());
}

TEST_CASE("a million items through a chain of generators") {
  auto twice = [](async_generator<int> items) -> async_generator<long> {
    while (const int* item = co_await items.next_ref()) co_yield 2L * *item;
  };
  sync_wait([&]() -> task<> {
    long sum = 0;
    auto items = twice(count_to(1'000'000));
    while (const long* item = co_await items.next_ref()) sum += *item;
    CHECK(sum == 1'000'001'000'000);
  }());
}

TEST_CASE("items that come at once and items that are waited for, mixed") {
  auto mixed = [](int last) -> async_generator<int> {
    for (int i = 1; i <= last; ++i) {
      if (i % 3 == 0) co_await rill::yield();
      co_yield i;
      if (i % 5 == 0) co_await rill::yield();
    }
  };
  sync_wait([&]() -> task<> {
    long sum = 0;
    int items_seen = 0;
    auto items = mixed(100'000);
    while (auto item = co_await items.next()) {
      sum += *item;
      if (++items_seen % 7 == 0) co_await rill::yield();
    }
    CHECK(sum == 5'000'050'000);
  }());
}

TEST_CASE("a generator that never waits lets others run, and sees that it is cancelled") {
  log events;
  rill::cancellation_source source;
  auto endless = [&]() -> async_generator<int> {
    try {
      for (int i = 0;; ++i) co_yield i;
    } catch (const rill::operation_cancelled&) {
      events.push_back("generator cancelled");
      throw;
    }
  };
  jumping_loop loop;
  int seen = 0;
  loop.spawn(
      [&]() -> task<> {
        auto items = endless();
        try {
          while (co_await items.next()) ++seen;
        } catch (const rill::operation_cancelled&) {
          events.push_back("consumer cancelled");
        }
      },
      source.token());
  loop.spawn([&]() -> task<> {
    source.cancel();
    co_return;
  });
  loop.turn();
  CHECK(events == log{"generator cancelled", "consumer cancelled"});
  CHECK(seen <= 64);
}

TEST_CASE("cancelled while the generator waits: its wait throws, and so does next") {
  log events;
  rill::event never;
  rill::cancellation_source source;
  auto waiting = [&]() -> async_generator<int> {
    co_yield 1;
    co_await wait_and_log(never, events, "inner");
    co_yield 2;
  };
  jumping_loop loop;
  loop.spawn(
      [&]() -> task<> {
        auto items = waiting();
        CHECK(co_await items.next() == 1);
        CHECK_THROWS_AS(static_cast<void>(co_await items.next()), rill::operation_cancelled);
        events.push_back("consumer");
      },
      source.token());
  loop.turn();
  source.cancel();
  loop.turn();
  CHECK(events == log{"inner cancelled: cancelled", "~inner", "consumer"});
}

TEST_CASE("each next lends the generator its awaiter's context") {
  auto values = []() -> async_generator<int> {
    for (;;) {
      const int* value = co_await rill::context_value<int>();
      co_yield value != nullptr ? *value : -1;
    }
  };
  auto next_of = [](async_generator<int>& items) -> task<int> { co_return (co_await items.next()).value(); };
  sync_wait([&]() -> task<> {
    auto items = values();
    CHECK(co_await items.next() == -1);
    CHECK(co_await rill::with_value(5, next_of(items)) == 5);
    CHECK(co_await rill::with_value(6, items.next()) == 6);
    CHECK(co_await items.next() == -1);
  }());
}

TEST_CASE("a home destroyed while a generator waits or is about to go on") {
  log events;
  rill::event never;
  auto make = [&](bool wait) -> async_generator<int> {
    witness gone{events, "generator"};
    for (int i = 0;; ++i) {
      if (wait) co_await never.wait();
      co_yield i;
    }
  };
  SUBCASE("which its consumer owns") {
    jumping_loop loop;
    loop.spawn([&]() -> task<> {
      witness gone{events, "consumer"};
      auto items = make(true);
      static_cast<void>(co_await items.next());
    });
    loop.turn();
    CHECK(events.empty());
  }
  SUBCASE("in the middle of a turn") {
    jumping_loop loop;
    bool some = false;
    loop.spawn([&]() -> task<> {
      witness gone{events, "consumer"};
      auto items = make(false);
      while (co_await items.next()) some = true;
    });
    loop.run_until(some);
    CHECK(events.empty());
  }
  SUBCASE("which lives elsewhere") {
    auto items = make(true);
    {
      jumping_loop loop;
      loop.spawn([&]() -> task<> {
        witness gone{events, "consumer"};
        static_cast<void>(co_await items.next());
      });
      loop.turn();
    }
    CHECK_FALSE(items);
  }
  CHECK(events == log{"~generator", "~consumer"});
}

}  // namespace
