// channel: every ending of send and receive, order, closing, and stress on two threads.
#include "rill/coro/channel.hpp"

#include "rill/coro/select.hpp"
#include "rill/coro/sync_wait.hpp"
#include "rill/coro/with_cancellation.hpp"
#include "rill/coro/yield.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace rill_test;

namespace {

struct receiving {
  rill::channel<std::string> items{2};
  std::optional<std::string> got;

  rill::task<> wait() { got = co_await items.receive(); }
  void complete() { items.try_send(std::string(40, 'x')); }
  bool intact(bool taken) {
    return taken ? got == std::string(40, 'x') && items.size() == 0
                 : items.try_receive() == std::string(40, 'x');
  }
  // What was given to a task that is gone is gone with it.
  bool intact_without_task() { return !got && items.size() <= 1; }
};

struct sending {
  rill::channel<std::string> items{1};
  std::string item = std::string(40, 'y');
  bool accepted = false;

  sending() { items.try_send(std::string(40, 'x')); }
  rill::task<> wait() { accepted = co_await items.send(std::move(item)); }
  void complete() { items.try_receive(); }
  bool intact(bool taken) {
    return taken ? accepted && items.try_receive() == std::string(40, 'y')
                 : !accepted && items.size() == 0 && item == std::string(40, 'y');
  }
  bool intact_without_task() { return !accepted && (items.size() == 1) == item.empty(); }
};

struct sending_a_copy : sending {
  rill::task<> wait() { accepted = co_await items.send(std::as_const(item)); }
  bool intact(bool taken) {
    return item == std::string(40, 'y') && accepted == taken && items.size() == (taken ? 1U : 0U);
  }
  bool intact_without_task() { return !accepted && item == std::string(40, 'y') && items.size() <= 1; }
};

TEST_CASE("channel: every ending of receive") { check_every_ending<receiving>(); }
TEST_CASE("channel: every ending of send") { check_every_ending<sending>(); }
TEST_CASE("channel: every ending of send of a copy") { check_every_ending<sending_a_copy>(); }

struct receiving_the_end {
  rill::channel<int> items{1};
  bool ended = false;

  rill::task<> wait() { ended = !(co_await items.receive()).has_value(); }
  void complete() { items.close(); }
  bool intact(bool taken) const { return items.closed() && ended == taken; }
  bool intact_without_task() const { return items.closed() && !ended; }
};
TEST_CASE("channel: every ending of receive on a channel that is being closed") {
  check_every_ending<receiving_the_end>();
}

struct sending_to_the_end {
  rill::channel<std::string> items{1};
  std::string item = std::string(40, 'y');
  bool refused = false;

  sending_to_the_end() { items.try_send("first"); }
  rill::task<> wait() { refused = !co_await items.send(std::move(item)); }
  void complete() { items.close(); }
  bool intact(bool taken) {
    return refused == taken && item == std::string(40, 'y') && items.try_receive() == "first";
  }
  bool intact_without_task() { return intact(false); }
};
TEST_CASE("channel: every ending of send on a channel that is being closed") {
  check_every_ending<sending_to_the_end>();
}

TEST_CASE("channel: a capacity of 0 is refused") {
  CHECK_THROWS_AS(rill::channel<int>{0}, rill::usage_error);
}

TEST_CASE("channel: items come out in the order in which they went in, and capacity bounds them") {
  rill::channel<int> items{3};
  CHECK(items.capacity() == 3);
  CHECK(items.try_send(1));
  CHECK(items.try_send(2));
  CHECK(items.try_send(3));
  CHECK_FALSE(items.try_send(4));
  CHECK(items.size() == 3);
  CHECK(items.try_receive() == 1);
  CHECK(items.try_send(4));
  CHECK(items.try_receive() == 2);
  CHECK(items.try_receive() == 3);
  CHECK(items.try_receive() == 4);
  CHECK(items.try_receive() == std::nullopt);
}

TEST_CASE("channel: an item that is not accepted stays as it was") {
  rill::channel<std::unique_ptr<int>> items{1};
  auto item = std::make_unique<int>(1);
  CHECK(items.try_send(std::move(item)));
  CHECK(item == nullptr);
  item = std::make_unique<int>(2);
  CHECK_FALSE(items.try_send(std::move(item)));
  REQUIRE(item != nullptr);
  items.close();
  CHECK_FALSE(items.try_send(std::move(item)));
  CHECK(item != nullptr);
}

TEST_CASE("channel: a closed one gives what is inside, then the end, again and again") {
  auto runs = []() -> rill::task<> {
    rill::channel<int> items{4};
    co_await items.send(1);
    co_await items.send(2);
    items.close();
    items.close();
    CHECK(items.closed());
    const bool accepted = co_await items.send(3);
    CHECK_FALSE(accepted);
    CHECK((co_await items.receive()) == 1);
    CHECK((co_await items.receive()) == 2);
    CHECK((co_await items.receive()) == std::nullopt);
    CHECK((co_await items.receive()) == std::nullopt);
  };
  rill::sync_wait(runs());
}

TEST_CASE("channel: senders that wait are served in the order in which they came") {
  rill::channel<int> items{1};
  auto sends = [](rill::channel<int>& to, int item) -> rill::task<> { co_await to.send(item); };
  home here;
  for (int item = 0; item < 5; ++item) here.spawn(sends(items, item));
  here.turn();
  for (int item = 0; item < 5; ++item) CHECK(items.try_receive() == item);
  CHECK(items.try_receive() == std::nullopt);
  here.run();
}

TEST_CASE("channel: receivers that wait are served in the order in which they came") {
  rill::channel<int> items{8};
  std::vector<int> got(5, -1);
  auto receives = [](rill::channel<int>& from, int& into) -> rill::task<> {
    into = *co_await from.receive();
  };
  home here;
  for (int& into : got) here.spawn(receives(items, into));
  here.turn();
  for (int item = 0; item < 5; ++item) CHECK(items.try_send(item));
  CHECK(items.size() == 0);
  here.run();
  CHECK(got == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("channel: items inside are destroyed with it") {
  auto item = std::make_shared<int>(1);
  {
    rill::channel<std::shared_ptr<int>> items{4};
    items.try_send(item);
    items.try_send(item);
    CHECK(items.try_receive() != nullptr);
    items.try_send(item);
    CHECK(item.use_count() == 3);
  }
  CHECK(item.use_count() == 1);
}

TEST_CASE("channel: a loop over a ready channel lets others run, and can be cancelled") {
  rill::channel<int> items{1};
  rill::cancellation_source stop;
  long passed = 0;
  bool other_ran = false;
  auto busy = [&]() -> rill::task<> {
    try {
      for (;;) {
        co_await items.send(1);
        co_await items.receive();
        ++passed;
      }
    } catch (const rill::operation_cancelled&) {
    }
  };
  auto other = [&]() -> rill::task<> {
    other_ran = true;
    for (int turn = 0; turn < 10; ++turn) co_await rill::yield();
    stop.cancel();
  };
  home here;
  here.spawn(busy(), stop.token());
  here.spawn(other());
  here.run();
  CHECK(other_ran);
  CHECK(passed >= 32);
  CHECK(passed < 1000);
}

TEST_CASE(
    "channel: a task that received the last item may destroy it while the sender is still in try_send") {
  auto receives_and_destroys = [](std::unique_ptr<rill::channel<int>> items, int& sum) -> rill::task<> {
    sum += *co_await items->receive();
    items.reset();
  };
  racer other;
  int sum = 0;
  const int rounds = stress(3000);
  for (int round = 0; round < rounds; ++round) {
    auto items = std::make_unique<rill::channel<int>>(1);
    rill::channel<int>& reached = *items;
    const std::function<void()> send = [&] { reached.try_send(1); };
    home here;
    here.spawn(receives_and_destroys(std::move(items), sum));
    if (round % 2 == 0) here.turn();
    other.go(send);
    here.run();
    other.wait();
  }
  CHECK(sum == rounds);
}

// An item of the stress: who sent it and which of theirs it is.
struct parcel {
  int sender = -1;
  int number = -1;
};

// What the receivers of the stress saw.
class ledger {
 public:
  ledger(int senders, int items)
      : senders_{senders},
        items_{items},
        seen_(static_cast<std::size_t>(senders) * static_cast<std::size_t>(items)) {}

  void sent(const parcel& one) { mark(one, 1); }
  void received(const parcel& one) { mark(one, 2); }
  // Each item either was sent and received once, or was neither.
  bool balanced() const {
    for (const std::atomic<int>& one : seen_) {
      if (one != 0 && one != 3) return false;
    }
    return true;
  }
  int count(int state) const {
    int all = 0;
    for (const std::atomic<int>& one : seen_) all += one == state ? 1 : 0;
    return all;
  }
  int size() const { return senders_ * items_; }

 private:
  void mark(const parcel& one, int by) {
    seen_[static_cast<std::size_t>(one.sender) * static_cast<std::size_t>(items_) +
          static_cast<std::size_t>(one.number)] += by;
  }
  int senders_;
  int items_;
  std::vector<std::atomic<int>> seen_;
};

// Notes a receiver's items, and whether each sender's came to it in order.
class order_check {
 public:
  explicit order_check(int senders) : last_(static_cast<std::size_t>(senders), -1) {}
  bool in_order(const parcel& one) {
    int& last = last_[static_cast<std::size_t>(one.sender)];
    const bool later = one.number > last;
    last = one.number;
    return later;
  }

 private:
  std::vector<int> last_;
};

TEST_CASE("channel: many senders and receivers on two threads lose, double and reorder nothing") {
  for (const std::size_t capacity : {1U, 3U, 64U}) {
    constexpr int senders = 4;
    const int items = stress(5000);
    rill::channel<parcel> belt{capacity};
    ledger book{senders, items};
    std::atomic<int> sending{senders};
    std::atomic<int> disorder{0};
    auto sends = [&](int name) -> rill::task<> {
      for (int number = 0; number < items; ++number) {
        const parcel one{name, number};
        const bool accepted = co_await belt.send(one);
        if (accepted) book.sent(one);
      }
      if (--sending == 0) belt.close();
    };
    auto receives = [&]() -> rill::task<> {
      order_check order{senders};
      while (auto one = co_await belt.receive()) {
        book.received(*one);
        if (!order.in_order(*one)) ++disorder;
      }
    };
    std::vector<std::vector<rill::task<>>> groups(2);
    for (int name = 0; name < senders; ++name) {
      groups[static_cast<std::size_t>(name % 2)].push_back(sends(name));
      groups[static_cast<std::size_t>(name % 2)].push_back(receives());
    }
    run_on_threads(std::move(groups));
    CHECK(book.count(3) == book.size());
    CHECK(disorder == 0);
  }
}

TEST_CASE("channel: with sends and receives cancelled and raced by select, still nothing is lost") {
  constexpr int workers = 3;  // of each sort on each of two threads
  constexpr int senders = workers * 2;
  const int items = stress(2500);
  rill::channel<parcel> first{2};
  rill::channel<parcel> second{1};
  ledger book{senders, items};
  std::atomic<int> sending{senders};
  std::atomic<int> disorder{0};
  std::atomic<int> cancelled_sends{0};
  std::atomic<int> cancelled_receives{0};
  std::atomic<bool> done{false};
  // Tripped by the cancellers while a wait uses it; replaced for each wait.
  struct victim {
    std::atomic<rill::cancellation_source*> current{nullptr};
  };
  std::vector<victim> victims(senders * 2);
  const auto pools =
      std::make_unique<rill::cancellation_source[]>(static_cast<std::size_t>(senders * items * 4));
  std::atomic<std::size_t> next_source{0};
  auto fresh = [&](int name) -> rill::cancellation_token {
    const std::size_t at = next_source++;
    if (at >= static_cast<std::size_t>(senders * items * 4)) return {};
    victims[static_cast<std::size_t>(name)].current = &pools[at];
    return pools[at].token();
  };

  auto sends = [&](int name) -> rill::task<> {
    dice roll{static_cast<unsigned>(name)};
    for (int number = 0; number < items; ++number) {
      parcel one{name, number};
      bool accepted = false;
      try {
        switch (roll(3)) {
          case 0:
            accepted = co_await first.send(one);
            break;
          case 1:
            accepted = co_await rill::with_cancellation(fresh(name), first.send(std::move(one)));
            break;
          default: {
            // All of a sender's items go through `first`, so that their order can be checked.
            auto outcome = co_await rill::with_cancellation(
                fresh(name), rill::select(first.send(std::move(one)), second.receive()));
            if (outcome.index() == 0) {
              accepted = std::get<0>(outcome);
            } else if (std::get<1>(outcome)) {
              book.received(*std::get<1>(outcome));
            }
          }
        }
      } catch (const rill::operation_cancelled&) {
        ++cancelled_sends;
      }
      if (accepted) book.sent(parcel{name, number});
    }
    if (--sending == 0) first.close();
  };
  auto receives = [&](int name) -> rill::task<> {
    order_check order{senders};
    for (;;) {
      std::optional<parcel> got;
      try {
        got = co_await rill::with_cancellation(fresh(senders + name), first.receive());
        if (!got) break;
      } catch (const rill::operation_cancelled&) {
        ++cancelled_receives;
        continue;
      }
      if (!order.in_order(*got)) ++disorder;
      // Some items take a second way, where they race other receivers and the senders.
      if (got->number % 5 == 0 && second.try_send(*got)) continue;
      book.received(*got);
    }
  };
  auto cancels = [&](int side) -> rill::task<> {
    dice roll{static_cast<unsigned>(99 + side)};
    while (!done) {
      victim& one = victims[roll(senders * 2)];
      if (rill::cancellation_source* source = one.current.exchange(nullptr)) source->cancel();
      co_await rill::yield();
    }
  };
  std::atomic<int> working{senders};
  auto finishes = [&](rill::task<> work) -> rill::task<> {
    co_await std::move(work);
    if (--working == 0) done = true;
  };
  std::vector<std::vector<rill::task<>>> groups(2);
  for (int name = 0; name < senders; ++name) {
    groups[static_cast<std::size_t>(name % 2)].push_back(sends(name));
    groups[static_cast<std::size_t>(name % 2)].push_back(finishes(receives(name)));
  }
  groups[0].push_back(cancels(0));
  groups[1].push_back(cancels(1));
  run_on_threads(std::move(groups));
  while (auto left = second.try_receive()) book.received(*left);
  CHECK(book.balanced());
  CHECK(disorder == 0);
  CHECK(book.count(3) > 0);
  CHECK(cancelled_sends > 0);
  CHECK(cancelled_receives > 0);
}

}  // namespace
