// A dead call is never the end of a stream, and a half-close is never taken for a dead call.
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

using namespace cq_test;
using namespace std::chrono_literals;

namespace {

enum way : std::int64_t {
  half_closes,          // sends all, and says so
  cancels,              // sends some, then cancels
  half_closes_cancels,  // sends all, says so, and cancels at once
  runs_out_of_time,     // sends some, then its deadline passes
  goes_away,            // sends some, then destroys the stream
  ways,
};

/// What the server made of the uploads.
struct tally {
  std::atomic<int> ends[ways]{};
  std::atomic<int> breaks[ways]{};
  std::atomic<int> false_ends{0};
};

/// Counts what arrives. The first message says how many there are and how the upload ends.
rill::task<Summary> collect(rill::reader<Note>& in, tally& seen) {
  Summary summary;
  std::int64_t planned = -1;
  std::int64_t how = half_closes;
  try {
    Note note;
    while (co_await in.read(note)) {
      if (planned < 0) {
        planned = note.number();
        how = std::stol(note.text());
      }
      summary.set_count(summary.count() + 1);
      if (summary.count() % 7 == 3) co_await rill::yield();  // sometimes the messages wait for the handler
    }
    if (planned < 0) co_return summary;  // nothing arrived: there is nothing to be mistaken about
    ++seen.ends[how];
    // The end is true if everything arrived and the client did half-close.
    if (summary.count() != planned || (how != half_closes && how != half_closes_cancels)) ++seen.false_ends;
  } catch (const rill::operation_cancelled&) {
    if (planned >= 0) ++seen.breaks[how];
    throw;
  }
  co_return summary;
}

rill::task<> upload(rill::client& client, way how, unsigned seed, std::atomic<int>& answered) {
  std::minstd_rand random{seed};
  const int planned = static_cast<int>(random() % 40) + 1;
  const int sent =
      how == half_closes || how == half_closes_cancels ? planned : static_cast<int>(random()) % planned + 1;
  rill::call_options options;
  if (how == runs_out_of_time) options.timeout = std::chrono::microseconds{500 + random() % 4000};
  Note note;
  note.set_text(std::to_string(static_cast<std::int64_t>(how)));
  note.set_number(planned);
  note.set_data(std::string(random() % 2000, 'x'));
  try {
    auto stream = client.call<&echo::Collect>(options);
    for (int i = 0; i < sent; ++i) {
      if (!co_await stream.write(note)) break;
    }
    if (how == cancels) {
      co_await stream.flush();
      stream.cancel();
    }
    if (how == goes_away) co_return;
    if (how == runs_out_of_time) {
      co_await rill::sleep_for(10ms);
      stream.cancel();  // if the server has not seen it by then
    }
    if (how == half_closes_cancels) {
      auto finishing = [&]() -> rill::task<> { static_cast<void>(co_await stream.finish()); };
      auto cancelling = [&]() -> rill::task<> {
        co_await rill::yield();
        stream.cancel();
      };
      co_await rill::when_all(finishing(), cancelling());
      co_return;
    }
    const Summary summary = co_await stream.finish();
    if (summary.count() == planned) ++answered;
  } catch (const rill::status_error&) {
    // Every way but one may end so.
  }
}

int stress_factor() {
  const char* const text = std::getenv("RILL_STRESS");
  return text != nullptr ? std::atoi(text) : 1;
}

void run_uploads(int loops, int rounds) {
  tally seen;
  std::atomic<int> answered{0};
  {
    rill::server server{{.loops = loops}};
    server.listen("127.0.0.1:0");
    server.handle<&echo::Collect>([&](rill::reader<Note>& in) { return collect(in, seen); });
    server.start();
    rill::runtime runtime{1};
    rill::client first{target_of(server), {.own_connection = true}};
    rill::client second{target_of(server), {.own_connection = true}};
    run_on(runtime.next(),
           [](rill::client& a, rill::client& b, int number, std::atomic<int>& count) -> rill::task<> {
             constexpr int at_once = 50;
             for (int round = 0; round < number; round += at_once) {
               std::vector<rill::task<>> work;
               for (int i = round; i < round + at_once; ++i) {
                 work.push_back(
                     upload(i % 2 == 0 ? a : b, static_cast<way>(i % ways), static_cast<unsigned>(i), count));
               }
               co_await rill::when_all(std::move(work));
             }
           }(first, second, rounds, answered));
    server.shutdown(1h);
  }
  CHECK(seen.false_ends == 0);
  CHECK(seen.ends[half_closes] == rounds / ways);
  CHECK(seen.breaks[half_closes] == 0);
  CHECK(answered == rounds / ways);
  CHECK(seen.ends[cancels] == 0);
  CHECK(seen.breaks[cancels] > 0);
  CHECK(seen.breaks[goes_away] > 0);
  CHECK(seen.ends[half_closes_cancels] + seen.breaks[half_closes_cancels] > 0);
}

}  // namespace

TEST_CASE("broken streams: an end is only ever a half-close, on one loop") {
  run_uploads(1, 1000 * stress_factor());
}

TEST_CASE("broken streams: an end is only ever a half-close, on two loops") {
  run_uploads(2, 1000 * stress_factor());
}
