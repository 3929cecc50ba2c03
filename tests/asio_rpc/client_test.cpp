// Calls made by tasks on Asio executors: where they resume, how they are cancelled, and that either side may end first.
#include "support.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace {

using namespace std::chrono_literals;
using namespace rill_test;
using rill::task;

/// An echo server with a loop of its own; `Say` waits for ever if told to.
struct echo_server {
  echo_server() {
    server.handle<&Echo::Service::Say>([this](rill::server_context& context, Note request) -> task<Note> {
      if (request.text() != "wait") co_return request;
      try {
        waiting.try_send(true);
        co_await rill::sleep_for(1h);
      } catch (const rill::operation_cancelled&) {
        cancelled.try_send(context.is_cancelled());
        throw;
      }
      co_return request;
    });
    server.handle<&Echo::Service::Expand>(expand);
    server.handle<&Echo::Service::Collect>(collect);
    server.handle<&Echo::Service::Chat>(chat);
    server.start();
  }

  rill::channel<bool> waiting{64};
  rill::channel<bool> cancelled{64};
  rill::server server{rill::server_options{.loops = 1}};
  rill::client client() { return rill::client{server.in_process()}; }
};

}  // namespace

TEST_CASE("client on an executor: every kind of call resumes where it was made") {
  echo_server at;
  asio::io_context io;
  const std::thread::id here = std::this_thread::get_id();
  bool done = false;
  rill::spawn(io, [&]() -> task<> {
    rill::client client = at.client();
    const Note said = co_await client.call<&Echo::Service::Say>(note("hello"));
    CHECK(said.text() == "hello");
    CHECK(std::this_thread::get_id() == here);

    auto many = client.call<&Echo::Service::Expand>(note("x", 1000));
    long next = 0;
    while (const auto one = co_await many.read()) {
      CHECK(one->number() == next++);
      CHECK(std::this_thread::get_id() == here);
    }
    CHECK(next == 1000);

    auto upload = client.call<&Echo::Service::Collect>();
    for (long i = 1; i <= 1000; ++i) {
      co_await upload.write(note("x", i));
      CHECK(std::this_thread::get_id() == here);
    }
    const Summary sum = co_await upload.finish();
    CHECK(sum.total() == 500500);
    CHECK(std::this_thread::get_id() == here);

    CHECK(co_await chat_with(client, 1000) == 1000);
    CHECK(std::this_thread::get_id() == here);
    done = true;
  });
  io.run();
  CHECK(done);
}

TEST_CASE("client on an executor: many calls at once on a context with several threads") {
  echo_server at;
  std::atomic<int> right{0};
  running_context context{2};
  const int calls = stress(20);
  for (int i = 0; i < calls; ++i) {
    rill::spawn(context.io(), [&, i]() -> task<> {
      rill::client client = at.client();
      const Note said = co_await client.call<&Echo::Service::Say>(note(std::to_string(i)));
      if (said.text() == std::to_string(i)) right.fetch_add(1);
      if (co_await chat_with(client, 50) == 50) right.fetch_add(1);
    });
  }
  context.finish();
  CHECK(right == 2 * calls);
}

TEST_CASE("client on an executor: a timeout and a token cancel the call on the server") {
  echo_server at;
  asio::io_context io;
  rill::cancellation_source stop;
  bool late = false;
  bool stopped = false;
  rill::spawn(io, [&]() -> task<> {
    rill::client client = at.client();
    try {
      co_await rill::with_timeout(20ms, client.call<&Echo::Service::Say>(note("wait")));
    } catch (const rill::timeout_error&) {
      late = true;
    }
    CHECK(co_await at.cancelled.receive() == true);
    co_await at.waiting.receive();
    const auto wait = [&]() -> task<> {
      static_cast<void>(co_await client.call<&Echo::Service::Say>(note("wait")));
    };
    const auto cancel = [&]() -> task<> {
      co_await at.waiting.receive();
      stop.cancel();
    };
    const auto cancelled = [&]() -> task<> {
      try {
        co_await rill::with_cancellation(stop.token(), wait());
      } catch (const rill::operation_cancelled&) {
        stopped = true;
      }
    };
    co_await rill::when_all(cancelled(), cancel());
    CHECK(co_await at.cancelled.receive() == true);
  });
  io.run();
  CHECK(late);
  CHECK(stopped);
}

TEST_CASE("client on an executor: from a use_awaitable coroutine, also raced against a timer") {
  using namespace asio::experimental::awaitable_operators;
  echo_server at;
  rill::client client = at.client();
  asio::io_context io;
  bool done = false;
  const auto ask = [&](std::string text) -> task<Note> {
    const Note question = note(std::move(text));
    co_return co_await client.call<&Echo::Service::Say>(question);
  };
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        const Note said = co_await rill::async_run(io, ask("hello"), asio::use_awaitable);
        CHECK(said.text() == "hello");
        asio::steady_timer timer{io, 20ms};
        const auto first = co_await (rill::async_run(io, ask("wait"), asio::use_awaitable) ||
                                     timer.async_wait(asio::use_awaitable));
        CHECK(first.index() == 1);
        done = true;
      },
      asio::detached);
  io.run();
  CHECK(done);
}

TEST_CASE("client on an executor: the context is destroyed in the middle of calls") {
  for (int round = 0; round < stress(8); ++round) {
    echo_server at;
    {
      rill::client client = at.client();
      running_context context{2};  // stops before what its tasks use goes
      for (int i = 0; i < 4; ++i) {
        rill::spawn(context.io(), [&]() -> task<> {
          for (;;) co_await chat_with(client, 20);
        });
      }
      rill::spawn(context.io(), [&]() -> task<> {
        static_cast<void>(co_await client.call<&Echo::Service::Say>(note("wait")));
      });
      rill::sync_wait([&]() -> task<> { co_await at.waiting.receive(); }());
    }
    // The calls were cancelled with their tasks.
    rill::sync_wait([&]() -> task<> { CHECK(co_await at.cancelled.receive() == true); }());
  }
}

TEST_CASE("client on an executor: the server stops in the middle of calls") {
  for (int round = 0; round < stress(8); ++round) {
    std::atomic<int> failed{0};
    running_context context{2};
    {
      echo_server at;
      for (int i = 0; i < 4; ++i) {
        rill::spawn(context.io(), [&failed, client = at.client()]() mutable -> task<> {
          try {
            for (;;) co_await chat_with(client, 20);
          } catch (const rill::status_error&) {
            failed.fetch_add(1);
          }
        });
      }
      rill::spawn(context.io(), [client = at.client()]() mutable -> task<> {
        try {
          static_cast<void>(co_await client.call<&Echo::Service::Say>(note("wait")));
        } catch (const rill::status_error&) {
        }
      });
      rill::sync_wait([&]() -> task<> { co_await at.waiting.receive(); }());
      at.server.shutdown(0ns);
    }
    context.finish();
    CHECK(failed == 4);
  }
}
