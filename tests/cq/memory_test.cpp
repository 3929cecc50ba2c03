// What streams may hold: memory stays flat when a reader has stopped reading.
// Not under sanitizers, which have memory of their own.
#include <rill/coro/detail/config.hpp>

#if !defined(RILL_ASAN) && !defined(RILL_TSAN)

#include "support.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

using namespace cq_test;

namespace {

std::size_t resident_bytes() {
  std::size_t total = 0;
  std::size_t resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  REQUIRE(file != nullptr);
  REQUIRE(std::fscanf(file, "%zu %zu", &total, &resident) == 2);
  std::fclose(file);
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

struct producer_state {
  std::atomic<int> waiting{0};
  std::atomic<long> written{0};
};

/// Writes until it would have to wait, says so, and goes on.
rill::task<> produce(rill::writer<Note>& out, producer_state& state) {
  Note note;
  note.set_data(std::string(4096, 'x'));
  for (int i = 0; i < 1'000'000; ++i) {
    const bool had_room = out.try_write(note);
    if (!had_room) {
      ++state.waiting;
      co_await out.write(note);
      --state.waiting;
    }
    ++state.written;
    if (i % 64 == 0) co_await rill::yield();
  }
}

std::size_t growth_since(std::size_t before) {
  const std::size_t after = resident_bytes();
  return after > before ? after - before : 0;
}

/// Streams of which one message each has been read.
rill::task<std::vector<rill::server_stream<Note>>> open_streams(rill::client& client, int streams) {
  std::vector<rill::server_stream<Note>> open;
  Note note;
  for (int i = 0; i < streams; ++i) {
    open.push_back(client.call<&echo::Expand>(note));
    co_await open.back().read(note);
  }
  co_return open;
}

/// Reads one message of each stream, then none, until the producers wait for it.
rill::task<> stall(rill::client& client, producer_state& state, int streams, std::size_t& grown) {
  const auto open = co_await open_streams(client, streams);
  const std::size_t before = resident_bytes();
  // Quiet once nobody has written for a while, since a full window is not the producers' to see.
  for (long last = -1; last != state.written.load();) {
    last = state.written.load();
    co_await rill::sleep_for(std::chrono::milliseconds{200});
  }
  CHECK(state.waiting.load() == streams);
  grown = growth_since(before);
}

constexpr std::size_t large = 1024 * 1024;

/// Has `streams` clients subscribe, publishes large messages that they do not read, and waits until each of their
/// streams holds one.
rill::task<> publish_to_all(rill::client& client, rill::broadcast<rill::encoded<Note>>& hub,
                            const std::atomic<int>& holding, int streams, std::size_t& grown) {
  const auto open = co_await open_streams(client, streams);
  const std::size_t before = resident_bytes();
  Note note;
  note.set_data(std::string(large, 'x'));
  for (int i = 0; i < 8; ++i) co_await hub.publish(rill::encoded<Note>{note});
  while (holding.load() != streams) co_await rill::yield();
  grown = growth_since(before);
}

}  // namespace

TEST_CASE(
    "memory: readers that have stopped hold less than 1 MiB a stream in the server and the client together") {
  constexpr int streams = 20;
  producer_state state;
  rill::server server{{.loops = 1, .stream_window = 64 * 1024}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Expand>(
      [&](Note, rill::writer<Note>& out) -> rill::task<> { return produce(out, state); });
  server.start();
  rill::runtime runtime{1};
  rill::client client{target_of(server), {.stream_window = 64 * 1024, .own_connection = true}};
  std::size_t grown = 0;
  run_on(runtime.next(), stall(client, state, streams, grown));
  MESSAGE("grown by " << grown / 1024 << " KiB for " << streams << " streams");
  CHECK(grown < streams * std::size_t{1024} * 1024);
}

TEST_CASE("memory: a message that waits on two hundred streams is there once") {
  constexpr int streams = 200;
  rill::broadcast<rill::encoded<Note>> hub;
  std::atomic<int> holding{0};
  rill::server server{{.loops = 1, .stream_window = 64 * 1024}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Expand>([&](Note first, rill::writer<Note>& out) -> rill::task<> {
    auto mine = hub.subscribe({.capacity = 8, .overflow = rill::overflow::suspend});
    co_await out.write(first);
    for (bool holds = false; auto next = co_await mine.receive();) {
      co_await out.write(*next);
      if (!std::exchange(holds, true)) ++holding;
    }
  });
  server.start();
  rill::runtime runtime{1};
  rill::client client{target_of(server), {.stream_window = 64 * 1024, .own_connection = true}};
  std::size_t grown = 0;
  run_on(runtime.next(), publish_to_all(client, hub, holding, streams, grown));
  MESSAGE("grown by " << grown / 1024 << " KiB for " << streams << " streams of messages of 1 MiB");
  CHECK(grown < streams / 3 * large);
}

#endif
