// sync_wait: what it takes, what it gives, and where it runs.
#include "rill/coro/sync_wait.hpp"

#include "rill/coro/channel.hpp"
#include "rill/coro/when_all.hpp"
#include "rill/coro/yield.hpp"
#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

namespace {

using namespace rill_test;
using rill::sync_wait;
using rill::task;

static_assert(std::is_same_v<decltype(sync_wait(ready_value(1))), int>);
static_assert(std::is_void_v<decltype(sync_wait(ready_nothing()))>);

TEST_CASE("it takes tasks, operations and combinators") {
  rill::channel<int> numbers{1};
  CHECK(sync_wait(ready_value(3)) == 3);
  CHECK(sync_wait(numbers.send(4)));
  CHECK(sync_wait(numbers.receive()) == 4);
  CHECK(sync_wait(rill::when_all(ready_value(1), ready_value(2))) == std::tuple{1, 2});
}

TEST_CASE("everything runs on the calling thread") {
  const auto here = std::this_thread::get_id();
  sync_wait([](std::thread::id expected) -> task<> {
    CHECK(std::this_thread::get_id() == expected);
    co_await rill::yield();
    CHECK(std::this_thread::get_id() == expected);
  }(here));
}

TEST_CASE("exceptions come out, and cancellation goes in") {
  CHECK_THROWS_WITH(static_cast<void>(sync_wait(ready_failure("thrown"))), "thrown");
  rill::event never;
  rill::cancellation_source source;
  std::thread other{[&] { source.cancel(rill::cancel_reason::shutdown); }};
  std::string caught;
  try {
    sync_wait(never.wait(), source.token());
  } catch (const rill::operation_cancelled& why) {
    caught = why.what();
  }
  other.join();
  CHECK(caught == "cancelled by shutdown");
}

TEST_CASE("it sleeps until another thread completes what it waits for") {
  for (int round = 0; round < 500; ++round) {
    rill::event gate;
    std::thread other{[&] { gate.set(); }};
    sync_wait(gate.wait());
    other.join();
  }
}

TEST_CASE("tasks that were spawned on its loop and have not ended go with it") {
  log events;
  rill::event never;
  sync_wait([](log& to, rill::event& gate) -> task<> {
    rill::scheduler* home = (co_await rill::this_context()).home;
    rill::spawn(*home, wait_and_log(gate, to, "left over"));
    co_await rill::yield();
    CHECK(to.empty());
  }(events, never));
  CHECK(events == log{"~left over"});
}

TEST_CASE("one within another") {
  auto outer = []() -> task<int> { co_return sync_wait(ready_value(2)) + co_await ready_value(3); };
  CHECK(sync_wait(outer()) == 5);
}

}  // namespace
