// broadcast: every ending of publish and receive, each overflow policy, lifetimes, and stress on two threads.
#include "rill/coro/broadcast.hpp"

#include "rill/coro/cancellation.hpp"
#include "rill/coro/select.hpp"
#include "rill/coro/sync_wait.hpp"
#include "rill/coro/with_cancellation.hpp"
#include "rill/coro/yield.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace rill_test;
using rill::overflow;

namespace {

struct receiving {
  rill::broadcast<std::string> hub;
  rill::broadcast<std::string>::subscription mine = hub.subscribe();
  std::optional<std::string> got;

  rill::task<> wait() { got = co_await mine.receive(); }
  void complete() { hub.try_publish(std::string(40, 'x')); }
  bool intact(bool taken) {
    return taken ? got == std::string(40, 'x') && !mine.try_receive()
                 : mine.try_receive() == std::string(40, 'x');
  }
  // What was given to a task that is gone is gone with it.
  bool intact_without_task() { return !got; }
};

struct publishing {
  rill::broadcast<std::string> hub;
  rill::broadcast<std::string>::subscription slow = hub.subscribe({.capacity = 1});
  rill::broadcast<std::string>::subscription quick = hub.subscribe({.capacity = 9});
  std::string item = std::string(40, 'y');
  bool accepted = false;

  publishing() { hub.try_publish("first"); }
  rill::task<> wait() { accepted = co_await hub.publish(std::move(item)); }
  void complete() { slow.try_receive(); }
  // All subscribers have it, or none.
  bool intact(bool taken) {
    quick.try_receive();
    const std::optional<std::string> expected =
        taken ? std::optional<std::string>{std::string(40, 'y')} : std::nullopt;
    return accepted == taken && item.empty() == taken && slow.try_receive() == expected &&
           quick.try_receive() == expected;
  }
  bool intact_without_task() {
    quick.try_receive();
    return !accepted && slow.try_receive().has_value() == item.empty() &&
           quick.try_receive().has_value() == item.empty();
  }
};

struct receiving_the_end {
  rill::broadcast<int> hub;
  rill::broadcast<int>::subscription mine = hub.subscribe();
  bool ended = false;

  rill::task<> wait() { ended = !(co_await mine.receive()).has_value(); }
  void complete() { hub.close(); }
  bool intact(bool taken) const { return ended == taken && hub.closed(); }
  bool intact_without_task() const { return !ended && hub.closed(); }
};

struct publishing_to_the_end {
  rill::broadcast<std::string> hub;
  rill::broadcast<std::string>::subscription slow = hub.subscribe({.capacity = 1});
  std::string item = std::string(40, 'y');
  bool refused = false;

  publishing_to_the_end() { hub.try_publish("first"); }
  rill::task<> wait() { refused = !co_await hub.publish(std::move(item)); }
  void complete() { hub.close(); }
  bool intact(bool taken) {
    return refused == taken && item == std::string(40, 'y') && slow.try_receive() == "first" &&
           !slow.try_receive();
  }
  bool intact_without_task() { return intact(false); }
};

TEST_CASE("broadcast: every ending of receive") { check_every_ending<receiving>(); }
TEST_CASE("broadcast: every ending of publish") { check_every_ending<publishing>(); }
TEST_CASE("broadcast: every ending of receive while the hub closes") {
  check_every_ending<receiving_the_end>();
}
TEST_CASE("broadcast: every ending of publish while the hub closes") {
  check_every_ending<publishing_to_the_end>();
}

TEST_CASE("broadcast: every subscriber gets every item from when it subscribed, in order") {
  rill::broadcast<int> hub;
  CHECK(hub.subscribers() == 0);
  CHECK(hub.try_publish(0));
  auto early = hub.subscribe();
  CHECK(hub.try_publish(1));
  auto late = hub.subscribe();
  CHECK(hub.subscribers() == 2);
  CHECK(hub.try_publish(2));
  CHECK(early.try_receive() == 1);
  CHECK(early.try_receive() == 2);
  CHECK(early.try_receive() == std::nullopt);
  CHECK(late.try_receive() == 2);
  CHECK(late.try_receive() == std::nullopt);
  CHECK(early.missed() == 0);
}

TEST_CASE("broadcast: a subscription of capacity 0 is refused") {
  rill::broadcast<int> hub;
  CHECK_THROWS_AS(static_cast<void>(hub.subscribe({.capacity = 0})), rill::usage_error);
  CHECK(hub.subscribers() == 0);
}

TEST_CASE(
    "broadcast: suspend holds the publisher up until the slowest has room, and nobody gets the item before") {
  rill::broadcast<int> hub;
  auto slow = hub.subscribe({.capacity = 1});
  auto quick = hub.subscribe({.capacity = 8});
  int published = 0;
  auto publishes = [](rill::broadcast<int>& to, int& count) -> rill::task<> {
    for (int item = 1; item <= 3; ++item) {
      co_await to.publish(item);
      ++count;
    }
  };
  home here;
  here.spawn(publishes(hub, published));
  here.turn();
  CHECK(published == 1);
  CHECK_FALSE(hub.try_publish(9));
  CHECK(quick.try_receive() == 1);
  CHECK(quick.try_receive() == std::nullopt);
  CHECK(slow.try_receive() == 1);
  CHECK(quick.try_receive() == 2);
  here.turn();
  CHECK(published == 2);
  CHECK(slow.try_receive() == 2);
  here.run();
  CHECK(published == 3);
  CHECK(slow.try_receive() == 3);
  CHECK(quick.try_receive() == 3);
  CHECK(slow.missed() == 0);
  CHECK(quick.missed() == 0);
}

TEST_CASE("broadcast: drop_oldest keeps the newest and says how many were missed, and where") {
  rill::broadcast<int> hub;
  auto mine = hub.subscribe({.capacity = 2, .overflow = overflow::drop_oldest});
  for (int item = 1; item <= 5; ++item) CHECK(hub.try_publish(item));
  CHECK(mine.missed() == 0);
  CHECK(mine.try_receive() == 4);
  CHECK(mine.missed() == 3);
  CHECK(mine.try_receive() == 5);
  CHECK(mine.missed() == 0);
  for (int item = 6; item <= 8; ++item) CHECK(hub.try_publish(item));
  CHECK(mine.try_receive() == 7);
  CHECK(mine.missed() == 1);
}

TEST_CASE("broadcast: drop_newest keeps the oldest and says how many were missed, and where") {
  rill::broadcast<int> hub;
  auto mine = hub.subscribe({.capacity = 2, .overflow = overflow::drop_newest});
  for (int item = 1; item <= 5; ++item) CHECK(hub.try_publish(item));
  CHECK(mine.try_receive() == 1);
  CHECK(mine.missed() == 0);
  CHECK(hub.try_publish(6));
  CHECK(hub.try_publish(7));
  CHECK(mine.try_receive() == 2);
  CHECK(mine.missed() == 0);
  CHECK(mine.try_receive() == 6);
  CHECK(mine.missed() == 3);
  hub.close();
  CHECK(mine.try_receive() == std::nullopt);
  CHECK(mine.missed() == 1);
}

TEST_CASE("broadcast: what was missed is told to a receiver that waits, too") {
  rill::broadcast<int> hub;
  auto mine = hub.subscribe({.capacity = 1, .overflow = overflow::drop_newest});
  std::vector<std::pair<int, std::uint64_t>> log;
  auto receives = [&]() -> rill::task<> {
    while (auto item = co_await mine.receive()) log.emplace_back(*item, mine.missed());
    log.emplace_back(-1, mine.missed());
  };
  CHECK(hub.try_publish(1));
  CHECK(hub.try_publish(2));
  CHECK(hub.try_publish(3));
  home here;
  here.spawn(receives());
  here.turn();
  CHECK(hub.try_publish(4));
  here.turn();
  here.turn();
  CHECK(hub.try_publish(5));
  CHECK(hub.try_publish(6));
  CHECK(hub.try_publish(7));
  hub.close();
  here.run();
  CHECK(log == std::vector<std::pair<int, std::uint64_t>>{{1, 0}, {4, 2}, {5, 0}, {6, 0}, {-1, 1}});
}

TEST_CASE("broadcast: disconnect ends a subscription that falls behind, after what is queued") {
  rill::broadcast<int> hub;
  auto mine = hub.subscribe({.capacity = 2, .overflow = overflow::disconnect});
  auto other = hub.subscribe();
  for (int item = 1; item <= 4; ++item) CHECK(hub.try_publish(item));
  CHECK(hub.subscribers() == 1);
  CHECK(mine.disconnected());
  CHECK_FALSE(other.disconnected());
  CHECK(mine.try_receive() == 1);
  CHECK(mine.try_receive() == 2);
  auto end = [&]() -> rill::task<> { CHECK((co_await mine.receive()) == std::nullopt); };
  rill::sync_wait(end());
  CHECK(mine.missed() == 1);
  for (int item = 1; item <= 4; ++item) CHECK(other.try_receive() == item);
}

TEST_CASE("broadcast: only the subscribers that suspend hold the publisher up") {
  rill::broadcast<int> hub;
  auto oldest = hub.subscribe({.capacity = 1, .overflow = overflow::drop_oldest});
  auto newest = hub.subscribe({.capacity = 1, .overflow = overflow::drop_newest});
  auto cut = hub.subscribe({.capacity = 1, .overflow = overflow::disconnect});
  auto publishes = [&]() -> rill::task<> {
    for (int item = 1; item <= 1000; ++item) co_await hub.publish(item);
  };
  rill::sync_wait(publishes());
  CHECK(oldest.try_receive() == 1000);
  CHECK(oldest.missed() == 999);
  CHECK(newest.try_receive() == 1);
  CHECK(cut.try_receive() == 1);
  CHECK(cut.disconnected());
}

TEST_CASE(
    "broadcast: destroying, or assigning over, a subscription unsubscribes, and lets publishers go on") {
  rill::broadcast<int> hub;
  auto slow = hub.subscribe({.capacity = 1});
  auto quick = hub.subscribe();
  bool done = false;
  auto publishes = [&]() -> rill::task<> {
    co_await hub.publish(1);
    co_await hub.publish(2);
    done = true;
  };
  home here;
  here.spawn(publishes());
  here.turn();
  CHECK_FALSE(done);
  CHECK(hub.subscribers() == 2);
  slow = std::move(quick);
  CHECK(hub.subscribers() == 1);
  here.run();
  CHECK(done);
  CHECK(slow.try_receive() == 1);
  CHECK(slow.try_receive() == 2);
}

TEST_CASE("broadcast: a closed hub refuses items and gives new subscribers nothing") {
  rill::broadcast<std::string> hub;
  auto mine = hub.subscribe();
  CHECK(hub.try_publish("last"));
  hub.close();
  hub.close();
  CHECK(hub.closed());
  CHECK(hub.subscribers() == 0);
  std::string item(40, 'z');
  CHECK_FALSE(hub.try_publish(std::move(item)));
  CHECK(item == std::string(40, 'z'));
  auto late = hub.subscribe();
  auto ends = [&]() -> rill::task<> {
    CHECK((co_await mine.receive()) == "last");
    CHECK((co_await mine.receive()) == std::nullopt);
    CHECK((co_await late.receive()) == std::nullopt);
    CHECK_FALSE(co_await hub.publish(item));
  };
  rill::sync_wait(ends());
}

TEST_CASE("broadcast: subscriptions may outlive the hub, and see it closed") {
  auto hub = std::make_unique<rill::broadcast<int>>();
  auto mine = hub->subscribe();
  auto waiting = hub->subscribe();
  bool ended = false;
  auto receives = [&]() -> rill::task<> { ended = !(co_await waiting.receive()).has_value(); };
  home here;
  here.spawn(receives());
  here.turn();
  auto item = hub->try_publish(7);
  CHECK(item);
  here.run();
  CHECK_FALSE(ended);
  here.spawn(receives());
  here.turn();
  hub.reset();
  here.run();
  CHECK(ended);
  CHECK(mine.try_receive() == 7);
  CHECK(mine.try_receive() == std::nullopt);
}

// Counts copies, and throws in the copy that is told to.
struct tracked {
  tracked() = default;
  tracked(const tracked& other) : copies{other.copies} {
    if (*copies == throw_at) throw std::runtime_error{"copy"};
    ++*copies;
  }
  tracked(tracked&&) noexcept = default;
  tracked& operator=(const tracked&) = delete;
  ~tracked() = default;

  std::shared_ptr<int> copies = std::make_shared<int>(0);
  static inline int throw_at = -1;
};

TEST_CASE("broadcast: the last subscriber moves the item, the others copy it") {
  rill::broadcast<tracked> hub;
  std::vector<rill::broadcast<tracked>::subscription> subscriptions;
  for (int i = 0; i < 3; ++i) subscriptions.push_back(hub.subscribe());
  tracked item;
  auto copies = item.copies;
  CHECK(hub.try_publish(std::move(item)));
  CHECK(copies.use_count() == 2);
  for (auto& one : subscriptions) CHECK(one.try_receive().has_value());
  CHECK(*copies == 2);
  CHECK(copies.use_count() == 1);
}

TEST_CASE("broadcast: what copying throws reaches the subscriber that copies, and nobody else") {
  rill::broadcast<tracked> hub;
  auto first = hub.subscribe();
  auto second = hub.subscribe();
  tracked item;
  CHECK(hub.try_publish(std::move(item)));
  tracked::throw_at = 0;
  CHECK_THROWS_AS(static_cast<void>(first.try_receive()), std::runtime_error);
  tracked::throw_at = -1;
  CHECK(second.try_receive().has_value());
  CHECK(hub.try_publish(tracked{}));
  CHECK(first.try_receive().has_value());
}

TEST_CASE("broadcast: dropped and unread items are destroyed") {
  auto item = std::make_shared<int>(1);
  {
    rill::broadcast<std::shared_ptr<int>> hub;
    CHECK(hub.try_publish(item));
    CHECK(item.use_count() == 1);
    auto oldest = hub.subscribe({.capacity = 2, .overflow = overflow::drop_oldest});
    auto newest = hub.subscribe({.capacity = 2, .overflow = overflow::drop_newest});
    for (int i = 0; i < 10; ++i) CHECK(hub.try_publish(item));
    CHECK(item.use_count() == 5);
  }
  CHECK(item.use_count() == 1);
}

struct event {
  int publisher = -1;
  int number = -1;
};

TEST_CASE("broadcast: on two threads, every lossless subscriber sees every item in one order") {
  constexpr int publishers = 4;
  constexpr int subscribers = 4;
  const int items = stress(3000);
  rill::broadcast<event> hub;
  std::vector<std::vector<int>> seen(subscribers);
  std::vector<rill::broadcast<event>::subscription> subscriptions;
  for (int i = 0; i < subscribers; ++i) {
    subscriptions.push_back(hub.subscribe({.capacity = static_cast<std::size_t>(1 + i * 5)}));
  }
  auto lossy = hub.subscribe({.capacity = 4, .overflow = overflow::drop_oldest});
  std::uint64_t lossy_total = 0;
  std::atomic<int> publishing{publishers};
  auto publishes = [&](int name) -> rill::task<> {
    for (int number = 0; number < items; ++number) co_await hub.publish(event{name, number});
    if (--publishing == 0) hub.close();
  };
  auto receives = [&](int name) -> rill::task<> {
    std::vector<int>& log = seen[static_cast<std::size_t>(name)];
    while (auto item = co_await subscriptions[static_cast<std::size_t>(name)].receive()) {
      log.push_back(item->publisher * items + item->number);
    }
  };
  auto receives_some = [&]() -> rill::task<> {
    while (auto item = co_await lossy.receive()) {
      lossy_total += 1 + lossy.missed();
      co_await rill::yield();
    }
    lossy_total += lossy.missed();
  };
  std::vector<std::vector<rill::task<>>> groups(2);
  for (int name = 0; name < publishers; ++name) {
    groups[static_cast<std::size_t>(name % 2)].push_back(publishes(name));
    groups[static_cast<std::size_t>(name % 2)].push_back(receives(name));
  }
  groups[0].push_back(receives_some());
  run_on_threads(std::move(groups));

  CHECK(seen[0].size() == static_cast<std::size_t>(publishers * items));
  for (const std::vector<int>& log : seen) CHECK(log == seen[0]);
  std::vector<int> next(publishers, 0);
  int disorder = 0;
  for (const int code : seen[0]) {
    if (next[static_cast<std::size_t>(code / items)]++ != code % items) ++disorder;
  }
  CHECK(disorder == 0);
  CHECK(lossy_total == static_cast<std::uint64_t>(publishers * items));
}

TEST_CASE("broadcast: subscribers that come and go, with cancellation, while others publish") {
  const int rounds = stress(4000);
  rill::broadcast<std::string> hub;
  std::atomic<int> coming_and_going{4};
  std::atomic<int> wrong{0};
  std::atomic<int> received{0};
  auto comes_and_goes = [&](unsigned seed) -> rill::task<> {
    dice roll{seed};
    for (int round = 0; round < rounds; ++round) {
      const auto policy = static_cast<overflow>(roll(4));
      auto mine = hub.subscribe({.capacity = 1 + roll(3), .overflow = policy});
      rill::cancellation_source stop;
      for (unsigned turn = roll(4); turn > 0; --turn) {
        if (roll(4) == 0) stop.cancel();
        try {
          const auto item = co_await rill::with_cancellation(stop.token(), mine.receive());
          if (item && *item != std::string(40, 'x')) ++wrong;
          if (item) ++received;
          if (!item && policy != overflow::disconnect) ++wrong;
        } catch (const rill::operation_cancelled&) {
          break;
        }
      }
    }
    --coming_and_going;
  };
  auto publishes = [&]() -> rill::task<> {
    while (coming_and_going > 0) {
      co_await hub.publish(std::string(40, 'x'));
      co_await rill::yield();
    }
  };
  std::vector<std::vector<rill::task<>>> groups(2);
  for (unsigned seed = 0; seed < 4; ++seed) groups[seed % 2].push_back(comes_and_goes(seed));
  groups[0].push_back(publishes());
  groups[1].push_back(publishes());
  run_on_threads(std::move(groups));
  CHECK(wrong == 0);
  CHECK(received > 0);
  CHECK(hub.subscribers() == 0);
}

TEST_CASE("broadcast: a hub destroyed while its subscribers, on another thread, wait") {
  const int rounds = stress(1000);
  racer other;
  int ended = 0;
  for (int round = 0; round < rounds; ++round) {
    auto hub = std::make_unique<rill::broadcast<int>>();
    auto receives = [&](rill::broadcast<int>::subscription mine) -> rill::task<> {
      while (co_await mine.receive()) {
      }
      ++ended;
    };
    home here;
    here.spawn(receives(hub->subscribe()));
    here.spawn(receives(hub->subscribe()));
    const std::function<void()> destroy = [&] {
      hub->try_publish(1);
      hub.reset();
    };
    other.go(destroy);
    here.run();
    other.wait();
  }
  CHECK(ended == rounds * 2);
}

}  // namespace
