// with_deadline: the context's deadline, the earlier of two, and what happens once it has passed.
#include "rill/coro/with_deadline.hpp"

#include "rill/coro/uncancellable.hpp"
#include "rill/coro/with_timeout.hpp"
#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <string>

namespace {

using namespace rill_test;
using namespace std::chrono_literals;
using rill::task;
using rill::with_deadline;

using moment = std::chrono::steady_clock::time_point;

/// A point in time of the loop's clock.
moment in(const jumping_loop& loop, std::chrono::nanoseconds span) {
  return moment{std::chrono::nanoseconds{loop.now()} + span};
}

TEST_CASE("the deadline is in the context, in the home's nanoseconds") {
  jumping_loop loop;
  CHECK_FALSE(loop.run(seen_context()).has_deadline());
  CHECK(loop.run(with_deadline(in(loop, 5ms), seen_context())).deadline == loop.now() + 5'000'000);
  const std::chrono::time_point<std::chrono::steady_clock, std::chrono::seconds> coarse{3s};
  CHECK(loop.run(with_deadline(coarse, seen_context())).deadline == 3'000'000'000);
  CHECK_FALSE(loop.run(with_deadline(moment::max(), seen_context())).has_deadline());
}

TEST_CASE("of two deadlines the earlier is in force") {
  jumping_loop loop;
  const moment early = in(loop, 5ms);
  const moment late = in(loop, 9ms);
  const std::int64_t expected = loop.now() + 5'000'000;
  CHECK(loop.run(with_deadline(early, with_deadline(late, seen_context()))).deadline == expected);
  CHECK(loop.run(with_deadline(late, with_deadline(early, seen_context()))).deadline == expected);
}

TEST_CASE("work whose deadline passes is cancelled, with that reason all the way up") {
  jumping_loop loop;
  rill::event never;
  log events;
  const std::int64_t before = loop.now();
  std::string caught;
  auto body = [&]() -> task<> {
    try {
      co_await with_deadline(in(loop, 5ms),
                             with_deadline(in(loop, 9ms), wait_and_log(never, events, "work")));
    } catch (const rill::operation_cancelled& why) {
      CHECK(why.reason() == rill::cancel_reason::deadline);
      caught = why.what();
    }
  };
  loop.run(body());
  CHECK(caught == "the deadline passed");
  CHECK(events == log{"work cancelled: the deadline passed", "~work"});
  CHECK(loop.now() - before == 5'000'000);
}

TEST_CASE("a deadline that has passed already lets work start, and cancels its first wait") {
  jumping_loop loop;
  rill::event never;
  log events;
  auto body = [&]() -> task<> {
    CHECK(co_await with_deadline(in(loop, -1ms), ready_value(3)) == 3);
    bool cancelled = false;
    try {
      co_await with_deadline(moment{}, wait_and_log(never, events, "work"));
    } catch (const rill::operation_cancelled&) {
      cancelled = true;
    }
    CHECK(cancelled);
  };
  loop.run(body());
  CHECK(events.front() == "work cancelled: the deadline passed");
}

TEST_CASE("a timeout outside of a deadline that passes is not timed out") {
  jumping_loop loop;
  rill::event never;
  log events;
  bool cancelled = false;
  auto body = [&]() -> task<> {
    try {
      co_await rill::with_timeout(20ms, with_deadline(in(loop, 10ms), wait_and_log(never, events, "work")));
    } catch (const rill::operation_cancelled& why) {
      cancelled = why.reason() == rill::cancel_reason::deadline;
    }
  };
  loop.run(body());
  CHECK(cancelled);
}

TEST_CASE("cancellation from outside keeps its reason") {
  jumping_loop loop;
  rill::event never;
  rill::cancellation_source source;
  log events;
  loop.spawn([&]() -> task<> { co_await with_deadline(in(loop, 1h), wait_and_log(never, events, "work")); },
             source.token());
  loop.turn();
  source.cancel(rill::cancel_reason::shutdown);
  loop.turn();
  CHECK(events == log{"work cancelled: cancelled by shutdown", "~work"});
}

TEST_CASE("a failure passes through") {
  jumping_loop loop;
  CHECK_THROWS_WITH(static_cast<void>(loop.run(with_deadline(in(loop, 1h), ready_failure("failed")))),
                    "failed");
}

TEST_CASE("a home destroyed in the middle") {
  log events;
  rill::event never;
  {
    jumping_loop loop;
    loop.spawn(
        [&]() -> task<> { co_await with_deadline(in(loop, 1h), wait_and_log(never, events, "work")); });
    loop.turn();
  }
  CHECK(events == log{"~work"});
}

}  // namespace
