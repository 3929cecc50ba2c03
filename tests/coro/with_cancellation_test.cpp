// with_cancellation: a second token, next to the one that flows in.
#include "rill/coro/with_cancellation.hpp"

#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>

namespace {

using namespace rill_test;
using rill::cancel_reason;
using rill::task;
using rill::with_cancellation;

/// Runs a wait that both `outer` and `own` can cancel, and tells how it ended once `act` was called.
template <class Act>
std::string outcome(rill::cancellation_source& outer, rill::cancellation_source& own, rill::event& gate,
                    Act act) {
  std::string how;
  jumping_loop loop;
  loop.spawn(
      [&]() -> task<> {
        try {
          co_await with_cancellation(own.token(), gate.wait());
          how = "completed";
        } catch (const rill::operation_cancelled& why) {
          how = why.what();
        }
      },
      outer.token());
  loop.turn();
  act();
  loop.turn();
  return how;
}

TEST_CASE("either token cancels, with its own reason; the first to trip counts") {
  rill::cancellation_source outer;
  rill::cancellation_source own;
  rill::event gate;
  SUBCASE("own") {
    CHECK(outcome(outer, own, gate, [&] { own.cancel(); }) == "cancelled");
    CHECK_FALSE(outer.is_cancelled());
  }
  SUBCASE("outer") {
    CHECK(outcome(outer, own, gate, [&] { outer.cancel(cancel_reason::shutdown); }) ==
          "cancelled by shutdown");
    CHECK_FALSE(own.is_cancelled());
  }
  SUBCASE("both") {
    CHECK(outcome(outer, own, gate, [&] {
            own.cancel(cancel_reason::deadline);
            outer.cancel(cancel_reason::shutdown);
          }) == "the deadline passed");
  }
  SUBCASE("before") {
    own.cancel(cancel_reason::shutdown);
    CHECK(outcome(outer, own, gate, [] {}) == "cancelled by shutdown");
  }
  SUBCASE("neither") {
    CHECK(outcome(outer, own, gate, [&] { gate.set(); }) == "completed");
  }
  SUBCASE("too late") {
    CHECK(outcome(outer, own, gate, [&] {
            gate.set();
            own.cancel();
          }) == "completed");
  }
}

TEST_CASE("a token without a source adds nothing") {
  jumping_loop loop;
  CHECK(loop.run(with_cancellation({}, ready_value(1))) == 1);
}

TEST_CASE("deadline and values stay") {
  jumping_loop loop;
  rill::cancellation_source own;
  rill::task_context context;
  context.deadline = 55;
  const auto seen = loop.run(with_cancellation(own.token(), seen_context()), context);
  CHECK(seen.deadline == 55);
  CHECK(seen.home == &loop);
}

TEST_CASE("cancelled by one thread while another completes it") {
  const int rounds = 3'000;
  std::atomic<rill::cancellation_source*> to_cancel{nullptr};
  std::atomic<bool> stop{false};
  std::thread canceller{[&] {
    while (!stop.load()) {
      if (rill::cancellation_source* source = to_cancel.load()) {
        source->cancel();
        to_cancel.store(nullptr);
      } else {
        std::this_thread::yield();
      }
    }
  }};
  int ended = 0;
  for (int round = 0; round < rounds; ++round) {
    rill::cancellation_source own;
    rill::event gate;
    auto body = [&]() -> task<> {
      to_cancel.store(&own);
      for (int i = 0; i < round % 20; ++i) std::this_thread::yield();
      if (round % 2 == 0) gate.set();
      try {
        co_await with_cancellation(own.token(), gate.wait());
      } catch (const rill::operation_cancelled&) {
      }
      ++ended;
    };
    rill::sync_wait(body());
    while (to_cancel.load() != nullptr) std::this_thread::yield();
  }
  stop.store(true);
  canceller.join();
  CHECK(ended == rounds);
}

TEST_CASE("a home destroyed in the middle") {
  log events;
  rill::event never;
  rill::cancellation_source own;
  {
    jumping_loop loop;
    loop.spawn(
        [&]() -> task<> { co_await with_cancellation(own.token(), wait_and_log(never, events, "work")); });
    loop.turn();
  }
  CHECK(events == log{"~work"});
  own.cancel();
  CHECK(events == log{"~work"});
}

}  // namespace
