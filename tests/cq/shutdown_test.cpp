// How a server stops, whatever it is doing.
#include "support.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

using namespace cq_test;
using namespace std::chrono_literals;

namespace {

rill::task<rill::status> say_status(rill::client& client) {
  Note note;
  const auto reply = co_await rill::as_result(client.call<&echo::Say>(note));
  co_return reply.ok() ? rill::status{} : reply.status();
}

/// A server whose handler has begun and waits for `go`, and a call to it.
struct busy_server {
  rill::event begun;
  rill::event go;
  rill::server server{{.loops = 1}};
  std::optional<rill::client> client;
  rill::status ended;
  std::promise<void> done;

  explicit busy_server(bool heeds_token = true) {
    server.listen("127.0.0.1:0");
    server.handle<&echo::Say>([this, heeds_token](Note note) -> rill::task<Note> {
      begun.set();
      if (heeds_token) {
        co_await go.wait();
      } else {
        co_await rill::uncancellable(go.wait());
      }
      co_return note;
    });
    server.start();
    client.emplace(target_of(server), rill::client_options{.own_connection = true});
    rill::spawn(rill::runtime::shared().next(), fulfil(
                                                    [](busy_server& self) -> rill::task<> {
                                                      self.ended = co_await say_status(*self.client);
                                                    }(*this),
                                                    done));
    rill::sync_wait([](rill::event& until) -> rill::task<> { co_await until.wait(); }(begun));
  }
  const rill::status& status() {
    done.get_future().get();
    return ended;
  }
};

}  // namespace

TEST_CASE("shutdown: an idle server stops, twice") {
  rill::server server{{.loops = 2}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Say>(say_back);
  server.start();
  server.shutdown(1h);
  server.shutdown(1h);
}

TEST_CASE("shutdown: a server that never started is destroyed") {
  rill::server server;
  server.listen("127.0.0.1:0");
  server.handle<&echo::Say>(say_back);
}

TEST_CASE("shutdown: a call that was accepted is answered within the grace") {
  busy_server busy;
  std::thread stopping{[&] { busy.server.shutdown(1h); }};
  busy.go.set();
  stopping.join();
  CHECK(busy.status().ok());
}

TEST_CASE("shutdown: after the grace a call has a definite status") {
  busy_server busy;
  busy.server.shutdown(10ms);
  CHECK(busy.status().error_code() == rill::status_code::CANCELLED);
}

TEST_CASE("shutdown: a handler that ignores its token is waited for") {
  busy_server busy{false};
  std::atomic<bool> stopped{false};
  std::thread stopping{[&] {
    busy.server.shutdown(1ms);
    stopped = true;
  }};
  CHECK_FALSE(busy.status().ok());  // its call was cut meanwhile
  CHECK_FALSE(stopped.load());
  busy.go.set();
  stopping.join();
}

TEST_CASE("shutdown: from a handler it only begins, and run completes it") {
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Say>([&](Note note) -> rill::task<Note> {
    server.shutdown(1h);
    co_return note;
  });
  server.start();
  rill::client client{target_of(server)};
  std::thread running{[&] { server.run(1h); }};
  const rill::status ended = rill::sync_wait(say_status(client));
  running.join();
  CHECK(ended.ok());
}

TEST_CASE("shutdown: from two threads at once") {
  busy_server busy;
  std::thread first{[&] { busy.server.shutdown(10ms); }};
  std::thread second{[&] { busy.server.shutdown(10ms); }};
  first.join();
  second.join();
  CHECK_FALSE(busy.status().ok());
}

TEST_CASE("shutdown: SIGTERM ends run") {
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Say>(say_back);
  server.start();
  const auto before = std::signal(SIGTERM, SIG_IGN);
  // Only this thread gets it: ThreadSanitizer may deliver another thread's when the test has ended.
  const pthread_t runs = ::pthread_self();
  std::atomic<bool> returned{false};
  std::thread sender{[&] {
    rill::client client{target_of(server)};
    CHECK(rill::sync_wait(say_status(client)).ok());
    while (!returned) {  // it is ignored until run watches it
      ::pthread_kill(runs, SIGTERM);
      std::this_thread::yield();
    }
  }};
  server.run(1h);
  returned = true;
  sender.join();
  std::signal(SIGTERM, before);
}

TEST_CASE("shutdown: streams that are open learn that the server drains") {
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Chat>(
      [](rill::server_context& context, rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
        Note note;
        try {
          auto work = chat_back(in, out);
          co_await rill::with_cancellation(context.draining(), std::move(work));
        } catch (const rill::operation_cancelled&) {
          note.set_text("bye");
        }
        co_await out.write(note);
      });
  server.start();
  rill::client client{target_of(server)};
  rill::event open;
  std::promise<void> done;
  std::string last;
  rill::spawn(rill::runtime::shared().next(),
              fulfil(
                  [](rill::client& to, rill::event& is_open, std::string& text) -> rill::task<> {
                    auto chat = to.call<&echo::Chat>();
                    Note note;
                    co_await chat.write(note);
                    while (auto reply = co_await chat.read()) {
                      text = reply->text();
                      is_open.set();
                    }
                  }(client, open, last),
                  done));
  rill::sync_wait([](rill::event& until) -> rill::task<> { co_await until.wait(); }(open));
  server.shutdown(1h);
  done.get_future().get();
  CHECK(last == "bye");
}

TEST_CASE("shutdown: many servers stop under load, and every call has a status") {
  constexpr int rounds = 20;
  for (int round = 0; round < rounds; ++round) {
    auto server = std::make_unique<rill::server>(rill::server_options{.loops = 2});
    server->listen("127.0.0.1:0");
    server->handle<&echo::Say>(say_back);
    server->handle<&echo::Chat>(chat_back);
    server->start();
    rill::client client{target_of(*server), {.own_connection = true}};
    std::atomic<int> answered{0};
    rill::event loaded;
    std::promise<void> done;
    rill::spawn(rill::runtime::shared().next(),
                fulfil(
                    [](rill::client& to, std::atomic<int>& count, rill::event& load) -> rill::task<> {
                      auto caller = [&]() -> rill::task<> {
                        while ((co_await say_status(to)).ok()) {
                          if (++count == 100) load.set();
                        }
                      };
                      auto talker = [&]() -> rill::task<> {
                        try {
                          auto chat = to.call<&echo::Chat>();
                          Note note;
                          for (;;) {
                            if (!co_await chat.write(note)) break;
                            if (!co_await chat.read(note)) break;
                          }
                        } catch (const rill::status_error&) {
                          ++count;
                        }
                      };
                      std::vector<rill::task<>> work;
                      for (int i = 0; i < 10; ++i) work.push_back(caller());
                      for (int i = 0; i < 10; ++i) work.push_back(talker());
                      co_await rill::when_all(std::move(work));
                    }(client, answered, loaded),
                    done));
    rill::sync_wait([](rill::event& until) -> rill::task<> { co_await until.wait(); }(loaded));
    if (round % 3 != 0) server->shutdown(round % 3 == 1 ? 0ns : 5ms);  // or the destructor alone
    server.reset();
    done.get_future().get();
  }
}
