// Who may use a client and its streams, and from where. What calls do is tested under behaviour/.
#include "echo.grpc.pb.h"

#include <rill/rill.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace rill::test::v1;
using namespace std::chrono_literals;

using chat_stream = rill::bidi_stream<Note, Note>;

struct echo_server {
  echo_server() {
    server.listen("127.0.0.1:0");
    server.handle<&Echo::Service::Say>([](Note request) -> rill::task<Note> { co_return request; });
    server.handle<&Echo::Service::Chat>([](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
      while (auto one = co_await in.read()) co_await out.write(*one);
    });
    server.start();
  }
  [[nodiscard]] rill::client client() const {
    return rill::client{"127.0.0.1:" + std::to_string(server.port())};
  }

  rill::server server{{.loops = 2}};
};

rill::task<> hundred_calls(rill::client client, std::atomic<int>& good) {
  for (std::int64_t i = 0; i < 100; ++i) {
    Note request;
    request.set_number(i);
    const Note reply = co_await client.call<&Echo::Service::Say>(request);
    if (reply.number() == i) ++good;
  }
}

TEST_CASE("client: many threads at once, in sync_wait and on event loops") {
  const echo_server echo;
  const rill::client client = echo.client();
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { rill::sync_wait(hundred_calls(client, good)); });
  }
  rill::runtime loops{2};
  rill::event done[4];
  for (auto& one : done) {
    rill::spawn(loops.next(), [](rill::client to, std::atomic<int>& count, rill::event& end) -> rill::task<> {
      co_await hundred_calls(std::move(to), count);
      end.set();
    }(client, good, one));
  }
  for (auto& one : threads) one.join();
  rill::sync_wait([](rill::event(&all)[4]) -> rill::task<> {
    for (auto& one : all) co_await one.wait();
  }(done));
  CHECK(good == 800);
}

rill::task<bool> read_is_refused(chat_stream& chat) {
  bool refused = false;
  try {
    static_cast<void>(co_await chat.read());
  } catch (const rill::usage_error&) {
    refused = true;
  }
  co_return refused;
}

TEST_CASE("client: a stream belongs to the home of the task that used it first") {
  const echo_server echo;
  rill::sync_wait([](rill::client client) -> rill::task<> {
    chat_stream chat = client.call<&Echo::Service::Chat>();
    co_await chat.write(Note{});
    bool refused = false;
    std::thread elsewhere{[&] { refused = rill::sync_wait(read_is_refused(chat)); }};
    elsewhere.join();
    CHECK(refused);
    const auto same = co_await chat.read();
    CHECK(same.has_value());
    co_await chat.finish();
  }(echo.client()));
}

TEST_CASE("client: calls may outlive it") {
  const echo_server echo;
  rill::sync_wait([](const echo_server& to) -> rill::task<> {
    std::optional<rill::client> client = to.client();
    chat_stream chat = client->call<&Echo::Service::Chat>();
    auto call = client->call<&Echo::Service::Say>(Note{});
    client.reset();
    const Note reply = co_await call;
    co_await chat.write(Note{});
    const auto same = co_await chat.read();
    CHECK(same.has_value());
    co_await chat.finish();
  }(echo));
}

TEST_CASE("client: a server that is not there yet is waited for if wanted") {
  rill::server server{{.loops = 1}};
  server.handle<&Echo::Service::Say>([](Note request) -> rill::task<Note> { co_return request; });
  const std::string target = "unix:/tmp/rill_client_test_" + std::to_string(::getpid());
  server.listen(target);
  const rill::client client{target};
  rill::sync_wait([](rill::client to, rill::server& late) -> rill::task<> {
    const auto failed = co_await rill::as_result(to.call<&Echo::Service::Say>(Note{}));
    CHECK(failed.status().error_code() == rill::status_code::UNAVAILABLE);
    const auto ask = [](rill::client by) -> rill::task<> {
      const Note reply =
          co_await by.call<&Echo::Service::Say>(Note{}, {.timeout = 60s, .wait_for_ready = true});
    };
    const auto start = [](rill::server& it) -> rill::task<> {
      it.start();
      co_return;
    };
    co_await rill::when_all(ask(to), start(late));
  }(client, server));
}

}  // namespace
