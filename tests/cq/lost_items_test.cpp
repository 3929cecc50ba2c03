// Messages of streams that are read and written by waits which are abandoned all the time: none is lost, none comes
// twice, and their order is kept. RILL_STRESS multiplies their number.
#include "../coro/support.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

using namespace cq_test;
using namespace std::chrono_literals;
using rill_test::dice;

namespace {

struct tally {
  std::atomic<std::int64_t> abandoned{0};
  std::atomic<std::int64_t> wrong{0};
};

std::chrono::nanoseconds some_time(dice& roll) {
  const unsigned kind = roll(8);
  return kind < 4   ? 0ns
         : kind < 7 ? std::chrono::nanoseconds{roll(50'000)}
                    : std::chrono::nanoseconds{roll(2'000'000)};
}

/// `read(note)` of either side's stream, each time for a while only.
template <class Stream>
rill::task<bool> read_patiently(Stream& stream, Note& note, dice& roll, tally& seen) {
  for (;;) {
    if (roll(4) != 0) {
      const auto outcome = co_await rill::select(stream.read(note), rill::sleep_for(some_time(roll)));
      if (outcome.index() == 0) co_return std::get<0>(outcome);
    } else {
      try {
        const bool got = co_await rill::with_timeout(some_time(roll), stream.read(note));
        co_return got;
      } catch (const rill::timeout_error&) {
      }
    }
    ++seen.abandoned;
  }
}

template <class Stream>
rill::task<> write_patiently(Stream& stream, const Note& note, dice& roll, tally& seen) {
  for (;;) {
    if (roll(4) != 0) {
      const auto outcome = co_await rill::select(stream.write(note), rill::sleep_for(some_time(roll)));
      if (outcome.index() == 0) co_return;
    } else {
      try {
        co_await rill::with_timeout(some_time(roll), stream.write(note));
        co_return;
      } catch (const rill::timeout_error&) {
      }
    }
    ++seen.abandoned;
  }
}

/// Checks what arrives, and sends it back.
rill::task<> check_and_answer(rill::reader<Note>& in, rill::writer<Note>& out, tally& seen) {
  dice roll{7};
  Note note;
  std::int64_t expected = 0;
  while (co_await read_patiently(in, note, roll, seen)) {
    if (note.number() != expected++) ++seen.wrong;
    co_await write_patiently(out, note, roll, seen);
  }
}

rill::task<> write_all(rill::bidi_stream<Note, Note>& stream, std::int64_t items, unsigned seed,
                       tally& seen) {
  dice roll{seed};
  Note note;
  for (std::int64_t i = 0; i < items; ++i) {
    note.set_number(i);
    co_await write_patiently(stream, note, roll, seen);
  }
  co_await stream.writes_done();
}

rill::task<> read_all(rill::bidi_stream<Note, Note>& stream, std::int64_t items, unsigned seed, tally& seen) {
  dice roll{seed};
  Note note;
  std::int64_t expected = 0;
  while (co_await read_patiently(stream, note, roll, seen)) {
    if (note.number() != expected++) ++seen.wrong;
  }
  if (expected != items) ++seen.wrong;
}

rill::task<> talk(rill::client& client, std::int64_t items, unsigned seed, tally& seen) {
  auto stream = client.call<&echo::Chat>();
  co_await rill::when_all(write_all(stream, items, seed, seen), read_all(stream, items, seed + 50, seen));
  co_await stream.finish();
}

}  // namespace

TEST_CASE("lost items: none, through streams whose waits are abandoned all the time, on two loops") {
  constexpr unsigned streams = 4;
  const std::int64_t items = rill_test::stress(1000);
  tally seen;
  rill::server server{{.loops = 2, .queue = {.messages = 8}, .stall_threshold = 0ns}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Chat>([&](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
    return check_and_answer(in, out, seen);
  });
  server.start();
  rill::runtime runtime{1};
  rill::client first{target_of(server), {.queue = {.messages = 8}, .own_connection = true}};
  rill::client second{target_of(server), {.queue = {.messages = 8}, .own_connection = true}};
  std::vector<rill::task<>> work;
  for (unsigned i = 0; i < streams; ++i) work.push_back(talk(i % 2 == 0 ? first : second, items, i, seen));
  run_on(runtime.next(), [](std::vector<rill::task<>> all) -> rill::task<> {
    co_await rill::when_all(std::move(all));
  }(std::move(work)));
  CHECK(seen.wrong == 0);
  CHECK(seen.abandoned > 0);
}
