// cancellation: sources, tokens and callbacks, and callbacks that race their own destruction.
#include "rill/coro/cancellation.hpp"

#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

using namespace rill_test;

namespace {

using counting = std::function<void()>;
using callback = rill::cancellation_callback<counting>;

TEST_CASE("cancellation: a default token is never cancelled") {
  const rill::cancellation_token token;
  CHECK_FALSE(token.can_be_cancelled());
  CHECK_FALSE(token.is_cancelled());
  CHECK(token.reason() == rill::cancel_reason::none);
  CHECK_NOTHROW(token.throw_if_cancelled());
  int runs = 0;
  {
    const callback on_cancel{token, [&] { ++runs; }};
  }
  CHECK(runs == 0);
}

TEST_CASE("cancellation: trips once, with the first reason") {
  rill::cancellation_source source;
  const rill::cancellation_token token = source.token();
  CHECK(token.can_be_cancelled());
  CHECK(token == source.token());
  CHECK_FALSE(source.is_cancelled());
  CHECK(source.cancel(rill::cancel_reason::deadline));
  CHECK_FALSE(source.cancel(rill::cancel_reason::shutdown));
  CHECK(source.is_cancelled());
  CHECK(token.is_cancelled());
  CHECK(token.reason() == rill::cancel_reason::deadline);
  try {
    token.throw_if_cancelled();
    FAIL("not thrown");
  } catch (const rill::operation_cancelled& e) {
    CHECK(e.reason() == rill::cancel_reason::deadline);
  }
}

TEST_CASE("cancellation: callbacks run once each, in the order of registration, before cancel returns") {
  rill::cancellation_source source;
  std::vector<int> order;
  const callback first{source.token(), [&] { order.push_back(1); }};
  const callback second{source.token(), [&] { order.push_back(2); }};
  {
    const callback gone{source.token(), [&] { order.push_back(-1); }};
  }
  const callback third{source.token(), [&] { order.push_back(3); }};
  source.cancel();
  CHECK(order == std::vector<int>{1, 2, 3});
  source.cancel();
  CHECK(order.size() == 3);
}

TEST_CASE("cancellation: a callback that comes late runs at once") {
  rill::cancellation_source source;
  source.cancel();
  int runs = 0;
  const callback late{source.token(), [&] { ++runs; }};
  CHECK(runs == 1);
}

TEST_CASE("cancellation: a callback sees the reason, may register, and may cancel again") {
  rill::cancellation_source source;
  rill::cancel_reason seen = rill::cancel_reason::none;
  int inner_runs = 0;
  bool again = true;
  std::optional<callback> inner;
  const callback outer{source.token(), [&] {
                         seen = source.reason();
                         again = source.cancel();
                         inner.emplace(source.token(), [&] { ++inner_runs; });
                       }};
  source.cancel(rill::cancel_reason::shutdown);
  CHECK(seen == rill::cancel_reason::shutdown);
  CHECK_FALSE(again);
  CHECK(inner_runs == 1);
}

TEST_CASE("cancellation: a callback may destroy itself, one that ran and one that has not") {
  rill::cancellation_source source;
  std::vector<int> order;
  std::optional<callback> earlier;
  std::optional<callback> self;
  std::optional<callback> later;
  earlier.emplace(source.token(), [&] { order.push_back(1); });
  self.emplace(source.token(), [&] {
    order.push_back(2);
    std::vector<int>& log = order;  // the closure is about to go
    std::optional<callback>& first = earlier;
    std::optional<callback>& third = later;
    self.reset();
    first.reset();
    third.reset();
    log.push_back(3);
  });
  later.emplace(source.token(), [&] { order.push_back(-1); });
  source.cancel();
  CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("cancellation: a chain of sources") {
  rill::cancellation_source outer;
  rill::cancellation_source inner;
  const callback link{outer.token(), [&] { inner.cancel(outer.reason()); }};
  int runs = 0;
  const callback on_inner{inner.token(), [&] { ++runs; }};
  outer.cancel(rill::cancel_reason::deadline);
  CHECK(runs == 1);
  CHECK(inner.reason() == rill::cancel_reason::deadline);
}

TEST_CASE("cancellation: destroying a callback waits until its run on another thread has returned") {
  racer other;
  rill::cancellation_source source;
  std::atomic<bool> inside{false};
  std::atomic<bool> destroying{false};
  std::atomic<bool> finished{false};
  std::optional<callback> slow;
  slow.emplace(source.token(), [&] {
    inside = true;
    while (!destroying) std::this_thread::yield();
    spin(100'000);
    finished = true;
  });
  const std::function<void()> cancel = [&] { source.cancel(); };
  other.go(cancel);
  while (!inside) std::this_thread::yield();
  destroying = true;
  slow.reset();
  CHECK(finished);
  other.wait();
}

TEST_CASE("cancellation: a callback is destroyed at every moment of its run on another thread") {
  racer other;
  dice roll{1};
  int ran = 0;
  int wrong = 0;
  const int rounds = stress(5000);
  for (int round = 0; round < rounds; ++round) {
    rill::cancellation_source source;
    auto alive = std::make_unique<std::atomic<int>>(1);
    std::optional<callback> mine;
    const unsigned length = roll(20);
    mine.emplace(source.token(), [&] {
      spin(length);
      alive->fetch_add(1);
    });
    std::atomic<bool> about_to{false};
    const std::function<void()> cancel = [&] {
      about_to = true;
      source.cancel();
    };
    other.go(cancel);
    while (round % 2 == 0 && !about_to) std::this_thread::yield();
    spin(static_cast<unsigned>(round % 100));
    mine.reset();
    const int seen = *alive;
    alive.reset();  // a callback that still runs would write to freed memory
    other.wait();
    if (seen == 2) ++ran;
    if (!source.is_cancelled()) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK(ran > 0);
  CHECK(ran < rounds);
}

TEST_CASE(
    "cancellation: registering races tripping; each callback runs exactly once or was destroyed before") {
  racer other;
  dice roll{2};
  int wrong = 0;
  const int rounds = stress(5000);
  for (int round = 0; round < rounds; ++round) {
    rill::cancellation_source source;
    std::atomic<int> runs{0};
    const std::function<void()> cancel = [&] { source.cancel(); };
    const unsigned pause = roll(60);
    other.go(cancel);
    spin(pause);
    {
      const callback a{source.token(), [&] { ++runs; }};
      const callback b{source.token(), [&] { ++runs; }};
      other.wait();
      if (runs != 2) ++wrong;
    }
    if (runs != 2) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("cancellation: two threads trip one source; one of them did it") {
  racer other;
  int wrong = 0;
  for (int round = 0; round < stress(5000); ++round) {
    rill::cancellation_source source;
    std::atomic<int> runs{0};
    std::atomic<int> winners{0};
    const callback counted{source.token(), [&] { ++runs; }};
    const std::function<void()> cancel = [&] {
      if (source.cancel(rill::cancel_reason::shutdown)) ++winners;
    };
    other.go(cancel);
    if (source.cancel(rill::cancel_reason::deadline)) ++winners;
    other.wait();
    if (winners != 1 || runs != 1) ++wrong;
  }
  CHECK(wrong == 0);
}

}  // namespace
