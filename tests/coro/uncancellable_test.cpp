// uncancellable: waits of a cancelled task that must complete.
#include "rill/coro/uncancellable.hpp"

#include "rill/coro/sleep.hpp"
#include "rill/coro/with_deadline.hpp"
#include "rill/coro/with_timeout.hpp"
#include "rill/coro/with_value.hpp"
#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace {

using namespace rill_test;
using namespace std::chrono_literals;
using rill::task;
using rill::uncancellable;

TEST_CASE("clean-up runs to its end in a cancelled task") {
  rill::event gate;
  rill::cancellation_source source;
  log events;
  jumping_loop loop;
  loop.spawn(
      [&]() -> task<> {
        bool cancelled = false;
        try {
          co_await gate.wait();
        } catch (const rill::operation_cancelled&) {
          cancelled = true;
        }
        CHECK(cancelled);
        co_await uncancellable(wait_and_log(gate, events, "clean-up"));
      },
      source.token());
  loop.turn();
  source.cancel();
  loop.turn();
  CHECK(events.empty());
  gate.set();
  loop.turn();
  CHECK(events == log{"clean-up done", "~clean-up"});
}

TEST_CASE("it has no token and no deadline, but the same home and values") {
  jumping_loop loop;
  rill::cancellation_source source;
  rill::task_context context;
  context.token = source.token();
  context.deadline = 5;
  const auto seen = loop.run(rill::with_value(7, uncancellable(seen_context())), context);
  CHECK_FALSE(seen.token.can_be_cancelled());
  CHECK_FALSE(seen.has_deadline());
  CHECK(seen.home == &loop);
  CHECK(seen.values != nullptr);
}

TEST_CASE("a limit inside it is in force") {
  jumping_loop loop;
  rill::event never;
  rill::cancellation_source source;
  source.cancel();
  rill::task_context context;
  context.token = source.token();
  CHECK_THROWS_AS(loop.run(uncancellable(rill::with_timeout(10ms, never.wait())), context),
                  rill::timeout_error);
}

TEST_CASE("results and exceptions pass through") {
  jumping_loop loop;
  CHECK(loop.run(uncancellable(ready_value(4))) == 4);
  CHECK_THROWS_WITH(static_cast<void>(loop.run(uncancellable(ready_failure("failed")))), "failed");
}

}  // namespace
