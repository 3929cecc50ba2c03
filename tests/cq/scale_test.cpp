// Many calls at once on few loops.
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <vector>

using namespace cq_test;

namespace {

rill::task<> one_unary(rill::client& client, int number, int& answered) {
  Note note;
  note.set_number(number);
  const Note reply = co_await client.call<&echo::Say>(note);
  if (reply.number() == number) ++answered;
}

rill::task<> one_chat(rill::client& client, rill::event& all_open, int& open, int streams, int& finished) {
  auto chat = client.call<&echo::Chat>();
  Note note;
  for (int i = 0; i < 3; ++i) {
    note.set_number(i);
    co_await chat.write(note);
    const auto reply = co_await chat.read();
    if (!reply || reply->number() != i) co_return;
    if (i == 0) {
      if (++open == streams) all_open.set();
      co_await all_open.wait();  // so that they really are open at once
    }
  }
  co_await chat.finish();
  ++finished;
}

}  // namespace

TEST_CASE("scale: ten thousand unary calls at once, on two loops") {
  rill::event everybody;
  std::atomic<int> arrived{0};
  rill::server server{{.loops = 2}};
  server.listen("127.0.0.1:0");
  constexpr int calls = 10'000;
  server.handle<&echo::Say>([&](Note note) -> rill::task<Note> {
    if (++arrived == calls) everybody.set();
    co_await everybody.wait();  // no call is answered before every call is there
    co_return note;
  });
  server.start();
  rill::runtime runtime{1};
  rill::client first{target_of(server), {.own_connection = true}};
  rill::client second{target_of(server), {.own_connection = true}};
  int answered = 0;
  run_on(runtime.next(), [](rill::client& a, rill::client& b, int& count) -> rill::task<> {
    std::vector<rill::task<>> work;
    for (int i = 0; i < calls; ++i) work.push_back(one_unary(i % 2 == 0 ? a : b, i, count));
    co_await rill::when_all(std::move(work));
  }(first, second, answered));
  CHECK(answered == calls);
}

TEST_CASE("scale: a thousand bidirectional streams at once, on two loops") {
  rill::server server{{.loops = 2}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Chat>(chat_back);
  server.start();
  rill::runtime runtime{1};
  rill::client first{target_of(server), {.own_connection = true}};
  rill::client second{target_of(server), {.own_connection = true}};
  constexpr int streams = 1'000;
  int finished = 0;
  run_on(runtime.next(), [](rill::client& a, rill::client& b, int& count) -> rill::task<> {
    rill::event all_open;
    int open = 0;
    std::vector<rill::task<>> work;
    for (int i = 0; i < streams; ++i)
      work.push_back(one_chat(i % 2 == 0 ? a : b, all_open, open, streams, count));
    co_await rill::when_all(std::move(work));
  }(first, second, finished));
  CHECK(finished == streams);
}

TEST_CASE("scale: a call is answered while another stream of its loop sends all that it can") {
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Say>(say_back);
  server.handle<&echo::Expand>([](Note, rill::writer<Note>& out) -> rill::task<> {
    Note note;
    for (;;) co_await out.write(note);
  });
  server.start();
  rill::runtime runtime{2};
  rill::client flood{target_of(server), {.own_connection = true}};
  rill::client asking{target_of(server), {.own_connection = true}};
  rill::event flowing;
  rill::cancellation_source stop;
  std::promise<void> ended;
  rill::spawn(runtime.loop(0), fulfil(
                                   [](rill::client& client, rill::event& started,
                                      rill::cancellation_token until) -> rill::task<> {
                                     Note note;
                                     auto stream = client.call<&echo::Expand>(note);
                                     while (!until.is_cancelled() && co_await stream.read(note))
                                       started.set();
                                   }(flood, flowing, stop.token()),
                                   ended));
  run_on(runtime.loop(1), [](rill::client& client, rill::event& started) -> rill::task<> {
    co_await started.wait();
    int answered = 0;
    co_await one_unary(client, 7, answered);
    CHECK(answered == 1);
  }(asking, flowing));
  stop.cancel();
  ended.get_future().get();
}
