// Messages that come one upon the other: what answers them leaves together, and none stays behind.
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <future>

using namespace cq_test;

namespace {

constexpr std::int64_t burst = 400;

using chat_stream = rill::bidi_stream<Note, Note>;

rill::task<> write_burst(chat_stream& chat, std::int64_t from) {
  Note note;
  for (std::int64_t i = from; i < from + burst; ++i) {
    note.set_number(i);
    CHECK(co_await chat.write(note));
  }
}
rill::task<> read_burst(chat_stream& chat, std::int64_t from) {
  Note note;
  for (std::int64_t i = from; i < from + burst; ++i) {
    REQUIRE(co_await chat.read(note));
    REQUIRE(note.number() == i);
  }
}

/// Answers a burst, then waits for something else than a message.
auto answer_and_wait(rill::event& go) {
  return [&go](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
    Note note;
    for (std::int64_t i = 0; i < burst; ++i) {
      static_cast<void>(co_await in.read(note));
      co_await out.write(note);
    }
    co_await go.wait();
  };
}

/// Runs `talk` with a client of `server`.
template <class Talk>
void talk_to(rill::server& server, Talk talk) {
  rill::runtime runtime{1};
  rill::client client{target_of(server)};
  run_on(runtime.next(), talk(client));
}
/// Sets `go` when every message of a burst has been answered.
auto exchange_a_burst(rill::event& go) {
  return [&go](rill::client& to) -> rill::task<> {
    auto chat = to.call<&echo::Chat>();
    co_await rill::when_all(write_burst(chat, 0), read_burst(chat, 0));
    go.set();
    co_await chat.finish();
  };
}

}  // namespace

TEST_CASE("flood: bursts are answered to the last message, and so are lone messages between them") {
  for (const int messages : {1, 2, 256}) {
    rill::server server{{.loops = 1, .queue = {.messages = static_cast<std::uint32_t>(messages)}}};
    server.listen("127.0.0.1:0");
    server.handle<&echo::Chat>(chat_back);
    server.start();
    talk_to(server, [](rill::client& to) -> rill::task<> {
      auto chat = to.call<&echo::Chat>();
      Note note;
      for (std::int64_t round = 0; round < 5; ++round) {
        co_await rill::when_all(write_burst(chat, round), read_burst(chat, round));
        note.set_number(-round);
        static_cast<void>(co_await chat.write(note));
        REQUIRE(co_await chat.read(note));
        CHECK(note.number() == -round);
      }
      co_await chat.finish();
    });
  }
}

TEST_CASE("flood: answers leave while the handler waits for something else") {
  rill::event go;
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Chat>(answer_and_wait(go));
  server.start();
  talk_to(server, exchange_a_burst(go));
}

TEST_CASE("flood: answers leave while the loop always has something else to do") {
  rill::event go;
  std::atomic<bool> over{false};
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Chat>(answer_and_wait(go));
  server.handle<&echo::Say>([&](Note note) -> rill::task<Note> {
    while (!over) co_await rill::yield();
    co_return note;
  });
  server.start();
  rill::runtime runtime{1};
  rill::client client{target_of(server), {.own_connection = true}};
  std::promise<void> busy;
  rill::spawn(runtime.next(), fulfil(
                                  [](rill::client& to) -> rill::task<> {
                                    Note note;
                                    static_cast<void>(co_await to.call<&echo::Say>(note));
                                  }(client),
                                  busy));
  talk_to(server, exchange_a_burst(go));
  over = true;
  busy.get_future().get();
}

TEST_CASE("flood: a client answers a flooding server to the last message") {
  std::atomic<int> wrong{0};
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Chat>([&](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
    const auto write = [&]() -> rill::task<> {
      Note note;
      for (std::int64_t i = 0; i < burst; ++i) {
        note.set_number(i);
        co_await out.write(note);
      }
    };
    const auto read = [&]() -> rill::task<> {
      Note note;
      for (std::int64_t i = 0; i < burst; ++i) {
        if (!co_await in.read(note) || note.number() != i) ++wrong;
      }
    };
    co_await rill::when_all(write(), read());
  });
  server.start();
  talk_to(server, [](rill::client& to) -> rill::task<> {
    auto chat = to.call<&echo::Chat>();
    Note note;
    while (co_await chat.read(note)) static_cast<void>(co_await chat.write(note));
    co_await chat.finish();
  });
  CHECK(wrong == 0);
}
