// Handlers on Asio executors: all four kinds of method, strands, errors, cancellation, and that the server and the
// context may stop in either order.
#include "support.hpp"

#include <asio/experimental/channel.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace rill_test;
using rill::status_code;
using rill::task;

template <class F>
void sync(F body) {
  rill::sync_wait(body());
}

}  // namespace

TEST_CASE("handlers on an executor: all four kinds run there") {
  std::atomic<int> elsewhere{0};
  running_context context{2};
  const auto check = [&] {
    if (!context.runs_here()) elsewhere.fetch_add(1);
  };
  rill::server server{rill::server_options{.loops = 1}};
  server.handle<&Echo::Service::Say>(rill::on(context.io(), [&](Note request) -> task<Note> {
    check();
    asio::steady_timer timer{context.io(), 1ms};
    co_await timer.async_wait(rill::use_task);
    check();
    co_return request;
  }));
  server.handle<&Echo::Service::Expand>(
      rill::on(context.io(), [&](Note request) -> rill::async_generator<Note> {
        for (long i = 0; i < request.number(); ++i) {
          check();
          co_yield note("x", i);
        }
      }));
  server.handle<&Echo::Service::Collect>(
      rill::on(context.io(), [&](rill::server_context& of, rill::reader<Note>& in) -> task<Summary> {
        check();
        of.initial_metadata().add("first", "1");
        co_await of.send_initial_metadata();
        Summary sum = co_await collect(in);
        of.trailing_metadata().add("last", "2");
        check();
        co_return sum;
      }));
  server.handle<&Echo::Service::Chat>(
      rill::on(context.io(), [&](rill::reader<Note>& in, rill::writer<Note>& out) -> task<> {
        while (auto one = co_await in.read()) {
          check();
          co_await out.write(*one);
          check();
        }
      }));
  server.start();
  rill::client client{server.in_process()};
  sync([&]() -> task<> {
    const Note said = co_await client.call<&Echo::Service::Say>(note("hello"));
    CHECK(said.text() == "hello");
    auto many = client.call<&Echo::Service::Expand>(note("x", 2000));
    long next = 0;
    while (const auto one = co_await many.read()) CHECK(one->number() == next++);
    CHECK(next == 2000);
    auto upload = client.call<&Echo::Service::Collect>();
    for (long i = 1; i <= 1000; ++i) co_await upload.write(note("x", i));
    const Summary sum = co_await upload.finish();
    CHECK(sum.total() == 500500);
    CHECK(co_await chat_with(client, 2000) == 2000);
  });
  CHECK(elsewhere == 0);
  server.shutdown(1s);
}

TEST_CASE("handlers on an executor: a strand is shared by all calls, and by what else is on it") {
  running_context context{2};
  auto strand = asio::make_strand(context.io());
  int shared = 0;  // guarded by the strand
  rill::server server{rill::server_options{.loops = 2}};
  server.handle<&Echo::Service::Say>(rill::on(strand, [&](Note request) -> task<Note> {
    CHECK(strand.running_in_this_thread());
    ++shared;
    co_await rill::yield();
    ++shared;
    co_return request;
  }));
  server.start();
  const int calls = stress(50);
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      rill::client client{server.in_process()};
      sync([&]() -> task<> {
        for (int call = 0; call < calls; ++call) {
          static_cast<void>(co_await client.call<&Echo::Service::Say>(note("x")));
        }
      });
    });
  }
  for (int i = 0; i < calls; ++i) asio::post(strand, [&] { ++shared; });
  for (std::thread& one : callers) one.join();
  server.shutdown(1s);
  context.finish();
  CHECK(shared == 7 * calls);
}

TEST_CASE("handlers on an executor: errors reach the client, and the text of unknown ones the hook") {
  std::atomic<int> reported{0};
  running_context context;
  rill::server server{rill::server_options{.loops = 1}};
  server.on_error([&](std::string_view path, std::string_view text) {
    if (path == "/rill.test.v1.Echo/Say" && text == "secret") reported.fetch_add(1);
  });
  server.handle<&Echo::Service::Say>(rill::on(context.io(), [](Note request) -> task<Note> {
    co_await rill::yield();
    if (request.text() == "status") throw rill::status_error{status_code::NOT_FOUND, "no such note"};
    throw std::runtime_error{"secret"};
  }));
  server.start();
  rill::client client{server.in_process()};
  sync([&]() -> task<> {
    const Note unknown = note("status");
    const auto found = co_await rill::as_result(client.call<&Echo::Service::Say>(unknown));
    CHECK(found.status().error_code() == status_code::NOT_FOUND);
    CHECK(found.status().error_message() == "no such note");
    const Note odd = note("other");
    const auto failed = co_await rill::as_result(client.call<&Echo::Service::Say>(odd));
    CHECK(failed.status().error_code() == status_code::INTERNAL);
    CHECK(failed.status().error_message() == "internal error");
  });
  CHECK(reported == 1);
}

namespace {

/// A server whose one handler, on `context`, waits until it is cancelled.
struct waiting_server {
  template <class Context>
  explicit waiting_server(Context& context) {
    server.handle<&Echo::Service::Chat>(
        rill::on(context, [this](rill::reader<Note>& in, rill::writer<Note>&) -> task<> {
          try {
            started.try_send(true);
            while (co_await in.read()) {
            }
            co_await rill::sleep_for(1h);
          } catch (const rill::operation_cancelled& cancelled) {
            unwound.try_send(cancelled.reason());
            throw;
          }
        }));
    server.start();
  }

  rill::channel<bool> started{4};
  rill::channel<rill::cancel_reason> unwound{4};
  rill::server server{rill::server_options{.loops = 1}};
};

}  // namespace

TEST_CASE("handlers on an executor: a client that goes away cancels them") {
  running_context context;
  waiting_server at{context.io()};
  rill::client client{at.server.in_process()};
  sync([&]() -> task<> {
    {
      auto stream = client.call<&Echo::Service::Chat>();
      co_await stream.write(note("x"));
      co_await at.started.receive();
    }
    CHECK(co_await at.unwound.receive() == rill::cancel_reason::cancelled);
  });
}

TEST_CASE("handlers on an executor: the server stops first") {
  rill::channel<rill::status_code> seen{1};
  running_context context;
  std::optional<waiting_server> at;
  at.emplace(context.io());
  rill::client client{at->server.in_process()};
  rill::spawn(context.io(), [&]() -> task<> {
    auto stream = client.call<&Echo::Service::Chat>();
    co_await stream.write(note("x"));
    status_code code = status_code::OK;
    try {
      while (co_await stream.read()) {
      }
    } catch (const rill::status_error& ended) {
      code = ended.code();
    }
    co_await seen.send(code);
  });
  sync([&]() -> task<> { co_await at->started.receive(); });
  at->server.shutdown(0ns);
  sync([&]() -> task<> {
    CHECK(co_await at->unwound.receive() == rill::cancel_reason::shutdown);
    CHECK((co_await seen.receive()).value_or(status_code::OK) != status_code::OK);
  });
  context.finish();
}

TEST_CASE(
    "handlers on an executor: the context stops first, and the server's shutdown does not wait for it") {
  auto context = std::make_unique<running_context>();
  waiting_server at{context->io()};
  rill::client client{at.server.in_process()};
  sync([&]() -> task<> {
    auto stream = client.call<&Echo::Service::Chat>();
    co_await stream.write(note("x"));
    co_await at.started.receive();
    status_code seen = status_code::OK;
    SUBCASE("stopped, then the server, then destroyed") {
      context->stop();
      at.server.shutdown(0ns);
      context.reset();
    }
    SUBCASE("destroyed, then the server") {
      context.reset();
      try {
        while (co_await stream.read()) {
        }
      } catch (const rill::status_error& ended) {
        seen = ended.code();
      }
      CHECK(seen == status_code::UNAVAILABLE);
      // New calls are refused.
      auto late = client.call<&Echo::Service::Chat>();
      try {
        while (co_await late.read()) {
        }
      } catch (const rill::status_error& ended) {
        seen = ended.code();
      }
      CHECK(seen == status_code::UNAVAILABLE);
      at.server.shutdown(0ns);
    }
  });
}

TEST_CASE("handlers on an executor: contexts and servers that end under load, in either order") {
  for (int round = 0; round < stress(6); ++round) {
    auto context = std::make_unique<running_context>(2);
    auto server = std::make_unique<rill::server>(rill::server_options{.loops = 1});
    server->handle<&Echo::Service::Chat>(rill::on(context->io(), chat));
    server->start();
    rill::client client{server->in_process()};
    std::atomic<bool> over{false};
    std::atomic<int> done{0};
    std::thread caller{[&] {
      while (!over.load()) {
        sync([&]() -> task<> {
          try {
            if (co_await chat_with(client, 100) == 100) done.fetch_add(1);
          } catch (const rill::status_error&) {
          }
          done.notify_all();
        });
      }
    }};
    done.wait(0);
    if (round % 2 == 0) {
      context.reset();
      server.reset();
    } else {
      server->shutdown(round % 4 == 1 ? 0ns : 10ms);
      context.reset();
    }
    over = true;
    caller.join();
  }
}
