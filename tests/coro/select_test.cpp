// select: every ending, the order of preference, losers that lose nothing, and races on two threads.
#include "rill/coro/select.hpp"

#include "rill/coro/async_mutex.hpp"
#include "rill/coro/broadcast.hpp"
#include "rill/coro/channel.hpp"
#include "rill/coro/event.hpp"
#include "rill/coro/semaphore.hpp"
#include "rill/coro/sleep.hpp"
#include "rill/coro/sync_wait.hpp"
#include "rill/coro/with_timeout.hpp"
#include "rill/coro/yield.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

using namespace rill_test;
using namespace std::chrono_literals;

namespace {

// Two channels; the first one that gets an item completes the wait.
struct selecting_receive {
  rill::channel<std::string> never{1};
  rill::channel<std::string> items{2};
  std::optional<std::string> got;

  rill::task<> wait() {
    auto outcome = co_await rill::select(never.receive(), items.receive(), rill::sleep_for(1h));
    if (outcome.index() == 1) got = std::get<1>(std::move(outcome));
  }
  void complete() { items.try_send(std::string(40, 'x')); }
  bool intact(bool taken) {
    return taken ? got == std::string(40, 'x') && items.size() == 0
                 : !got && items.try_receive() == std::string(40, 'x');
  }
  bool intact_without_task() { return !got && items.size() <= 1; }
};

struct selecting_acquire {
  rill::event never;
  rill::semaphore permits{0};
  rill::semaphore others{0};

  rill::task<> wait() { co_await rill::select(never.wait(), permits.acquire(), others.acquire()); }
  void complete() { permits.release(); }
  bool intact(bool taken) const {
    return permits.available() == (taken ? 0U : 1U) && others.available() == 0;
  }
  bool intact_without_task() const { return permits.available() == 1; }
};

TEST_CASE("select: every ending, when it receives") { check_every_ending<selecting_receive>(); }
TEST_CASE("select: every ending, when it acquires") { check_every_ending<selecting_acquire>(); }

TEST_CASE("select: gives each operation's result by position, and monostate for those without one") {
  auto runs = []() -> rill::task<> {
    rill::channel<int> numbers{1};
    rill::channel<std::string> words{1};
    rill::event flag;
    rill::async_mutex mutex;
    auto held = mutex.try_lock();
    numbers.try_send(1);
    auto first = co_await rill::select(words.receive(), numbers.receive(), flag.wait(), mutex.lock(),
                                       words.send("a"), rill::sleep_for(1h));
    static_assert(std::is_same_v<decltype(first),
                                 std::variant<std::optional<std::string>, std::optional<int>, std::monostate,
                                              rill::async_mutex::guard, bool, std::monostate>>);
    REQUIRE(first.index() == 1);
    CHECK(std::get<1>(first) == 1);
    CHECK(words.size() == 0);

    const auto second = co_await rill::select(numbers.receive(), words.send("a"));
    REQUIRE(second.index() == 1);
    CHECK(std::get<1>(second));
    held->unlock();
    auto third = co_await rill::select(flag.wait(), mutex.lock());
    REQUIRE(third.index() == 1);
    CHECK(static_cast<bool>(std::get<1>(third)));
    CHECK_FALSE(mutex.try_lock().has_value());
    flag.set();
    const auto fourth = co_await rill::select(numbers.receive(), flag.wait());
    CHECK(fourth.index() == 1);
    const auto fifth = co_await rill::select(numbers.receive(), rill::sleep_for(1ms));
    CHECK(fifth.index() == 1);
  };
  rill::sync_wait(runs());
}

TEST_CASE("select: of several that are ready it takes the one that is written first, and nothing else") {
  auto runs = []() -> rill::task<> {
    rill::channel<int> a{4};
    rill::channel<int> b{4};
    rill::semaphore permits{1};
    for (int turn = 0; turn < 200; ++turn) {  // often enough that some turns yield to the home first
      a.try_send(1);
      b.try_send(2);
      const auto outcome = co_await rill::select(a.receive(), b.receive(), permits.acquire());
      CHECK(outcome.index() == 0);
      CHECK(a.size() == 0);
      CHECK(b.size() == 1);
      CHECK(permits.available() == 1);
      b.try_receive();
    }
  };
  rill::sync_wait(runs());
}

TEST_CASE("select: a send that loses leaves its item as it was") {
  auto runs = []() -> rill::task<> {
    rill::channel<std::unique_ptr<int>> full{1};
    full.try_send(std::make_unique<int>(1));
    rill::event flag;
    flag.set();
    auto item = std::make_unique<int>(2);
    const auto ready = co_await rill::select(full.send(std::move(item)), flag.wait());
    CHECK(ready.index() == 1);
    CHECK(item != nullptr);
    const auto later = co_await rill::select(full.send(std::move(item)), rill::sleep_for(1ms));
    CHECK(later.index() == 1);
    CHECK(item != nullptr);
    full.try_receive();
    const auto sent = co_await rill::select(full.send(std::move(item)), rill::sleep_for(1h));
    CHECK(sent.index() == 0);
    CHECK(item == nullptr);
  };
  rill::sync_wait(runs());
}

TEST_CASE("select: one task may select both ends of one channel") {
  auto runs = []() -> rill::task<> {
    rill::channel<int> loop{1};
    int sent = 0;
    int received = 0;
    for (int turn = 0; turn < 200; ++turn) {
      const auto outcome = co_await rill::select(loop.send(turn), loop.receive());
      ++(outcome.index() == 0 ? sent : received);
    }
    CHECK(sent == 100);
    CHECK(received == 100);
  };
  rill::sync_wait(runs());
}

TEST_CASE("select: a ready one in a loop lets others run, and can be cancelled") {
  rill::event flag;
  flag.set();
  rill::cancellation_source stop;
  long passed = 0;
  auto busy = [&]() -> rill::task<> {
    try {
      for (;;) {
        co_await rill::select(rill::sleep_for(1h), flag.wait());
        ++passed;
      }
    } catch (const rill::operation_cancelled&) {
    }
  };
  auto other = [&]() -> rill::task<> {
    for (int turn = 0; turn < 10; ++turn) co_await rill::yield();
    stop.cancel();
  };
  home here;
  here.spawn(busy(), stop.token());
  here.spawn(other());
  here.run();
  CHECK(passed >= 63);
  CHECK(passed < 1000);
}

TEST_CASE("select: composes with with_timeout") {
  auto runs = []() -> rill::task<> {
    rill::event a;
    rill::event b;
    CHECK_THROWS_AS(co_await rill::with_timeout(1ms, rill::select(a.wait(), b.wait())), rill::timeout_error);
    b.set();
    const auto outcome = co_await rill::with_timeout(1h, rill::select(a.wait(), b.wait()));
    CHECK(outcome.index() == 1);
  };
  rill::sync_wait(runs());
}

TEST_CASE("select: two threads race to complete two of its operations; one wins and the other is left") {
  struct fixture {
    rill::channel<int> items{1};
    rill::semaphore permits{0};
  };
  racer other;
  dice roll{21};
  int wrong = 0;
  int wins[2] = {0, 0};
  const int rounds = stress(4000);
  for (int round = 0; round < rounds; ++round) {
    fixture here_and_there;
    auto selects = [&]() -> rill::task<> {
      const auto outcome =
          co_await rill::select(here_and_there.items.receive(), here_and_there.permits.acquire());
      ++wins[outcome.index()];
      const bool left = outcome.index() == 0 ? here_and_there.permits.try_acquire()
                                             : here_and_there.items.try_receive().has_value();
      if (!left) ++wrong;
    };
    const bool send_here = roll(2) == 0;
    const std::function<void()> send = [&] { here_and_there.items.try_send(1); };
    const std::function<void()> release = [&] { here_and_there.permits.release(); };
    home here;
    const int before[2] = {wins[0], wins[1]};
    here.spawn(selects());
    here.turn();
    other.go(send_here ? release : send);
    spin(roll(150));
    (send_here ? send : release)();
    other.wait();
    const int total_before = before[0] + before[1];
    const std::size_t left_over = here_and_there.items.size() + here_and_there.permits.available();
    if (left_over != 1) ++wrong;
    here.run();
    if (wins[0] + wins[1] != total_before + 1) ++wrong;
    if (here_and_there.items.size() + here_and_there.permits.available() != 0) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK(wins[0] > 0);
  CHECK(wins[1] > 0);
}

TEST_CASE("select: tasks on two threads that select over several channels pass every item once") {
  constexpr int channels = 3;
  constexpr int workers = 6;
  const int items = stress(4000);
  std::vector<std::unique_ptr<rill::channel<int>>> belts;
  for (int i = 0; i < channels; ++i) belts.push_back(std::make_unique<rill::channel<int>>(1 + i));
  std::vector<std::atomic<int>> seen(static_cast<std::size_t>(workers * items));
  std::atomic<int> accepted{0};
  std::atomic<int> sending{workers};
  rill::event end;

  auto sends = [&](int name) -> rill::task<> {
    for (int number = 0; number < items; ++number) {
      const int item = name * items + number;
      const auto outcome =
          co_await rill::select(belts[0]->send(item), belts[1]->send(item), belts[2]->send(item));
      const bool was_accepted = outcome.index() == 0   ? std::get<0>(outcome)
                                : outcome.index() == 1 ? std::get<1>(outcome)
                                                       : std::get<2>(outcome);
      if (was_accepted) ++accepted;
    }
    if (--sending == 0) end.set();
  };
  auto receives = [&](unsigned seed) -> rill::task<> {
    dice roll{seed};
    for (;;) {
      std::optional<int> got;
      // The order written is the order of preference, so it changes from turn to turn.
      const std::size_t first = roll(channels);
      const std::size_t second = (first + 1) % channels;
      const std::size_t third = (first + 2) % channels;
      auto outcome = co_await rill::select(belts[first]->receive(), belts[second]->receive(),
                                           belts[third]->receive(), end.wait());
      if (outcome.index() == 0) got = std::get<0>(outcome);
      if (outcome.index() == 1) got = std::get<1>(outcome);
      if (outcome.index() == 2) got = std::get<2>(outcome);
      if (!got) break;
      ++seen[static_cast<std::size_t>(*got)];
    }
  };
  std::vector<std::vector<rill::task<>>> groups(2);
  for (int name = 0; name < workers; ++name) {
    groups[static_cast<std::size_t>(name % 2)].push_back(sends(name));
    groups[static_cast<std::size_t>(name % 2)].push_back(receives(static_cast<unsigned>(name)));
  }
  run_on_threads(std::move(groups));
  for (const auto& belt : belts) {
    while (auto left = belt->try_receive()) ++seen[static_cast<std::size_t>(*left)];
  }
  int wrong = 0;
  for (const std::atomic<int>& one : seen) wrong += one == 1 ? 0 : 1;
  CHECK(wrong == 0);
  CHECK(accepted == workers * items);
}

TEST_CASE("select: broadcast's operations can be raced too") {
  auto runs = []() -> rill::task<> {
    rill::broadcast<int> hub;
    auto mine = hub.subscribe({.capacity = 1});
    const auto published = co_await rill::select(mine.receive(), hub.publish(1));
    CHECK(published.index() == 1);
    const auto full = co_await rill::select(hub.publish(2), mine.receive());
    REQUIRE(full.index() == 1);
    CHECK(std::get<1>(full) == 1);
    CHECK_FALSE(mine.try_receive().has_value());
  };
  rill::sync_wait(runs());
}

}  // namespace
