// Items that pass through waits which are abandoned all the time, by select and by with_timeout: none is lost, none
// comes twice, and their order is kept. RILL_STRESS multiplies their number.
#include "rill/coro/channel.hpp"
#include "rill/coro/select.hpp"
#include "rill/coro/sleep.hpp"
#include "rill/coro/with_timeout.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

using namespace rill_test;
using namespace std::chrono_literals;

namespace {

/// Often no time at all, sometimes enough for the other side to come.
std::chrono::nanoseconds some_time(dice& roll) {
  const unsigned kind = roll(8);
  return kind < 3   ? 0ns
         : kind < 7 ? std::chrono::nanoseconds{roll(3000)}
                    : std::chrono::nanoseconds{roll(100'000)};
}

struct tally {
  std::atomic<std::int64_t> abandoned{0};
  std::atomic<std::int64_t> wrong{0};
};

/// Sends until it is sent, each time for a while only.
rill::task<> send_patiently(rill::channel<std::int64_t>& to, std::int64_t item, dice& roll, tally& seen) {
  for (;;) {
    if (roll(4) != 0) {
      const auto outcome = co_await rill::select(to.send(item), rill::sleep_for(some_time(roll)));
      if (outcome.index() == 0) co_return;
    } else {
      try {
        const bool sent = co_await rill::with_timeout(some_time(roll), to.send(item));
        if (sent) co_return;
      } catch (const rill::timeout_error&) {
      }
    }
    ++seen.abandoned;
  }
}

rill::task<std::optional<std::int64_t>> receive_patiently(rill::channel<std::int64_t>& from, dice& roll,
                                                          tally& seen) {
  for (;;) {
    if (roll(4) != 0) {
      const auto outcome = co_await rill::select(from.receive(), rill::sleep_for(some_time(roll)));
      if (outcome.index() == 0) co_return std::get<0>(outcome);
    } else {
      try {
        const auto got = co_await rill::with_timeout(some_time(roll), from.receive());
        co_return got;
      } catch (const rill::timeout_error&) {
      }
    }
    ++seen.abandoned;
  }
}

rill::task<> send_all(rill::channel<std::int64_t>& to, std::int64_t items, unsigned seed, tally& seen) {
  dice roll{seed};
  for (std::int64_t i = 0; i < items; ++i) co_await send_patiently(to, i, roll, seen);
  to.close();
}

/// Passes on what comes.
rill::task<> relay(rill::channel<std::int64_t>& from, rill::channel<std::int64_t>& to, unsigned seed,
                   tally& seen) {
  dice roll{seed};
  for (;;) {
    const auto item = co_await receive_patiently(from, roll, seen);
    if (!item) break;
    co_await send_patiently(to, *item, roll, seen);
  }
  to.close();
}

rill::task<> receive_all(rill::channel<std::int64_t>& from, std::int64_t items, unsigned seed, tally& seen) {
  dice roll{seed};
  std::int64_t expected = 0;
  for (;;) {
    const auto item = co_await receive_patiently(from, roll, seen);
    if (!item) break;
    if (*item != expected++) ++seen.wrong;
  }
  if (expected != items) ++seen.wrong;
}

}  // namespace

TEST_CASE("lost items: none, through channels between threads whose waits are abandoned all the time") {
  constexpr unsigned belts = 4;
  const std::int64_t items = stress(10'000);
  tally seen;
  std::vector<std::unique_ptr<rill::channel<std::int64_t>>> channels;
  std::vector<std::vector<rill::task<>>> threads(2);
  for (unsigned belt = 0; belt < belts; ++belt) {
    channels.push_back(std::make_unique<rill::channel<std::int64_t>>(1 + 3 * belt));
    auto& first = *channels.back();
    channels.push_back(std::make_unique<rill::channel<std::int64_t>>(1 + belt));
    auto& second = *channels.back();
    threads[belt % 2].push_back(send_all(first, items, belt, seen));
    threads[(belt + 1) % 2].push_back(relay(first, second, belt + 100, seen));
    threads[(belt / 2) % 2].push_back(receive_all(second, items, belt + 200, seen));
  }
  run_on_threads(std::move(threads));
  CHECK(seen.wrong == 0);
  CHECK(seen.abandoned > items / 100);
}
