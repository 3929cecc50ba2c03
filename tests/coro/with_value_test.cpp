// with_value and context_value.
#include "rill/coro/with_value.hpp"

#include "rill/coro/when_all.hpp"
#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>

namespace {

using namespace rill_test;
using rill::context_value;
using rill::sync_wait;
using rill::task;
using rill::with_value;

struct identity {
  std::string name;
};

task<std::string> who() {
  const identity* found = co_await context_value<identity>();
  co_return found != nullptr ? found->name : "nobody";
}

TEST_CASE("a value is seen by everything below, and by nothing beside") {
  sync_wait([]() -> task<> {
    const identity ann{"ann"};
    CHECK(co_await who() == "nobody");
    CHECK(co_await with_value(ann, who()) == "ann");
    CHECK(co_await who() == "nobody");
    auto below = []() -> task<std::string> {
      const identity bob{"bob"};
      auto [mine, others] = co_await rill::when_all(who(), with_value(bob, who()));
      co_return mine + " " + others + " " + co_await who();
    };
    identity named{"cat"};
    CHECK(co_await with_value(named, below()) == "cat bob cat");
  }());
}

TEST_CASE("values of different types do not hide each other") {
  auto both = []() -> task<std::string> {
    const int* number = co_await context_value<int>();
    co_return co_await who() + std::to_string(*number);
  };
  identity dan{"dan"};
  CHECK(sync_wait(with_value(1, with_value(dan, with_value(2, both())))) == "dan2");
}

TEST_CASE("a value may be move-only, and lives as long as the await") {
  log events;
  auto look = [&]() -> task<> {
    CHECK(*co_await context_value<std::unique_ptr<int>>() != nullptr);
    CHECK(co_await context_value<witness>() != nullptr);
    events.push_back("looked");
  };
  sync_wait(with_value(std::make_unique<int>(1), with_value(witness{events, "value"}, look())));
  CHECK(events == log{"looked", "~value"});
}

TEST_CASE("exceptions pass through, and cancellation flows along") {
  rill::cancellation_source source;
  source.cancel();
  rill::event never;
  CHECK_THROWS_WITH(static_cast<void>(sync_wait(with_value(1, ready_failure("failed")))), "failed");
  CHECK_THROWS_AS(sync_wait(with_value(1, never.wait()), source.token()), rill::operation_cancelled);
}

TEST_CASE("a home destroyed in the middle: the work goes before the value") {
  log events;
  rill::event never;
  {
    jumping_loop loop;
    loop.spawn([&]() -> task<> {
      witness value{events, "value"};
      co_await with_value(std::move(value), wait_and_log(never, events, "work"));
    });
    loop.turn();
  }
  CHECK(events == log{"~work", "~value"});
}

}  // namespace
