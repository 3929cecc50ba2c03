// Many writers of one stream on both sides, whose writes are abandoned all the time, and streams that end in every way.
// What a write accepted arrives unless the call breaks, nothing arrives that no write accepted, nothing arrives twice,
// and each writer's order is kept. RILL_STRESS multiplies the number of streams.
#include "../coro/support.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <future>
#include <string>
#include <utility>
#include <vector>

using namespace cq_test;
using namespace std::chrono_literals;
using rill_test::dice;

namespace {

constexpr int writers = 4;
constexpr int messages = 25;  // of each writer

enum ending : unsigned {
  half_closes,       // the client writes all, and says so; the server answers all
  server_finishes,   // the handler returns with OK before the client has written all
  cancels,           // the client cancels
  runs_out_of_time,  // the deadline passes
  goes_away,         // the client abandons everything and destroys the stream
  endings,
};

/// One direction of a stream.
struct direction {
  std::atomic<int> accepted[writers]{};
  std::atomic<int> received[writers]{};

  void receive(std::int64_t number, std::atomic<int>& wrong) {
    std::atomic<int>& seen = received[number / messages];
    if (number % messages != seen++) ++wrong;
  }
  [[nodiscard]] bool is_complete() const {
    for (int i = 0; i < writers; ++i) {
      if (received[i] != accepted[i]) return false;
    }
    return true;
  }
  [[nodiscard]] bool has_phantoms() const {
    for (int i = 0; i < writers; ++i) {
      if (received[i] > accepted[i]) return true;
    }
    return false;
  }
};

struct conversation {
  std::size_t index = 0;
  ending how = half_closes;
  direction up;
  direction down;
  bool ended_well = false;
};

struct ledger {
  std::deque<conversation> all;
  std::atomic<int> wrong{0};
  std::atomic<int> abandoned{0};
};

/// Writes the messages of one writer, each with waits that are given up and tried again, until `over`.
template <class Stream>
rill::task<> write_some(Stream& stream, conversation& own, direction& way, int writer, const bool& over,
                        ledger& all) {
  dice roll{static_cast<unsigned>(own.index) * 16 + static_cast<unsigned>(writer)};
  Note note;
  note.set_text(std::to_string(own.index));
  note.set_data(std::string(roll(3000), 'x'));
  for (int i = 0; i < messages && !over;) {
    note.set_number(writer * messages + i);
    const auto patience = std::chrono::nanoseconds{roll(3) == 0 ? 0 : roll(300'000)};
    const auto outcome = co_await rill::select(stream.write(note), rill::sleep_for(patience));
    if (outcome.index() != 0) {
      ++all.abandoned;
      continue;
    }
    if constexpr (requires { stream.writes_done(); }) {
      if (!std::get<0>(outcome)) break;  // the call is over
    }
    ++way.accepted[writer];
    ++i;
  }
}

template <class Stream>
rill::task<> write_all(Stream& stream, conversation& own, direction& way, const bool& over, ledger& all) {
  std::vector<rill::task<>> each;
  for (int i = 0; i < writers; ++i) each.push_back(write_some(stream, own, way, i, over, all));
  co_await rill::when_all(std::move(each));
}

rill::task<> serve(rill::reader<Note>& in, rill::writer<Note>& out, ledger& all) {
  Note note;
  if (!co_await in.read(note)) co_return;
  conversation& own = all.all.at(std::stoul(note.text()));
  own.up.receive(note.number(), all.wrong);
  bool over = false;
  const auto read_all = [&]() -> rill::task<> {
    for (int left = messages * writers / 2; own.how != server_finishes || left != 0; --left) {
      if (!co_await in.read(note)) co_return;
      own.up.receive(note.number(), all.wrong);
    }
    over = true;
  };
  co_await rill::when_all(read_all(), write_all(out, own, own.down, over, all));
}

rill::task<> talk(rill::client& client, conversation& own, ledger& all) {
  dice roll{static_cast<unsigned>(own.index)};
  const auto soon = std::chrono::microseconds{100 + roll(4000)};
  rill::call_options options;
  if (own.how == runs_out_of_time) options.timeout = soon;
  auto stream = client.call<&echo::Chat>(options);
  const bool never = false;
  const auto write = [&]() -> rill::task<> {
    co_await write_all(stream, own, own.up, never, all);
    if (own.how == half_closes) co_await stream.writes_done();
  };
  const auto read = [&]() -> rill::task<> {
    Note note;
    while (co_await stream.read(note)) own.down.receive(note.number(), all.wrong);
    if (own.how != half_closes && own.how != server_finishes) ++all.wrong;
    own.ended_well = true;
  };
  const auto cancel = [&]() -> rill::task<> {
    if (own.how != cancels) co_return;
    co_await rill::sleep_for(soon);
    stream.cancel();
  };
  try {
    if (own.how == goes_away) {
      co_await rill::with_timeout(soon, rill::when_all(write(), read()));
    } else {
      co_await rill::when_all(write(), read(), cancel());
      co_await stream.finish();
    }
  } catch (const rill::status_error&) {
    if (own.how == half_closes || own.how == server_finishes) ++all.wrong;
  } catch (const rill::timeout_error&) {
  }
}

rill::task<> talk_all(rill::client& client, ledger& all, std::size_t from, std::size_t step) {
  constexpr std::size_t at_once = 10;
  for (std::size_t next = from; next < all.all.size();) {
    std::vector<rill::task<>> work;
    for (; work.size() < at_once && next < all.all.size(); next += step) {
      work.push_back(talk(client, all.all[next], all));
    }
    co_await rill::when_all(std::move(work));
  }
}

}  // namespace

TEST_CASE("many writers: what was accepted arrives once and in order, however the stream ends") {
  ledger all;
  const int streams = rill_test::stress(200);
  for (int i = 0; i < streams; ++i) {
    all.all.emplace_back();
    all.all.back().index = static_cast<std::size_t>(i);
    all.all.back().how = static_cast<ending>(static_cast<unsigned>(i) / 2 % endings);
  }
  {
    rill::server server{{.loops = 2, .queue = {.messages = 4}, .stall_threshold = 0ns}};
    server.listen("127.0.0.1:0");
    server.handle<&echo::Chat>(
        [&](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> { return serve(in, out, all); });
    server.start();
    rill::runtime runtime{2};
    rill::client even{target_of(server), {.queue = {.messages = 4}, .own_connection = true}};
    rill::client odd{target_of(server), {.queue = {.messages = 4}, .own_connection = true}};
    std::promise<void> done;
    rill::spawn(runtime.next(), fulfil(talk_all(even, all, 0, 2), done));
    run_on(runtime.next(), talk_all(odd, all, 1, 2));
    done.get_future().get();
    server.shutdown(1h);
  }
  CHECK(all.wrong == 0);
  CHECK(all.abandoned > 0);
  int incomplete = 0;
  int phantoms = 0;
  int ended_well = 0;
  for (const conversation& one : all.all) {
    if (one.up.has_phantoms() || one.down.has_phantoms()) ++phantoms;
    if (one.ended_well) ++ended_well;
    if (one.how == half_closes && !(one.up.is_complete() && one.down.is_complete())) ++incomplete;
    if (one.how == server_finishes && !one.down.is_complete()) ++incomplete;
  }
  CHECK(phantoms == 0);
  CHECK(incomplete == 0);
  CHECK(ended_well == streams * 2 / static_cast<int>(endings));
}
