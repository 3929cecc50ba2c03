// Deadlines: set by options or inherited, seen by the handler, passed on downstream, and what happens when one passes.
#include "behaviour/fixture.hpp"

#include <rill/coro/event.hpp>
#include <rill/coro/sleep.hpp>
#include <rill/coro/this_context.hpp>
#include <rill/coro/with_deadline.hpp>

#include <atomic>

namespace {

using namespace behaviour;
using clock = std::chrono::steady_clock;

/// Sleeps for an hour, and tells how that ended.
struct sleeper {
  rill::event ended;
  std::atomic<rill::cancel_reason> reason{rill::cancel_reason::none};
  std::atomic<bool> began = false;

  rill::task<> sleep() {
    began = true;
    try {
      co_await rill::sleep_for(1h);
    } catch (const rill::operation_cancelled& cancelled) {
      reason = cancelled.reason();
      ended.set();
      throw;
    }
  }
};

/// A deployment whose handlers sleep.
struct sleepy_deployment {
  sleepy_deployment() {
    d.methods.handle<&Echo::Service::Say>([this](Note request) -> rill::task<Note> {
      co_await handler.sleep();
      co_return request;
    });
    d.methods.handle<&Echo::Service::Chat>(
        [this](rill::reader<Note>&, rill::writer<Note>&) -> rill::task<> { co_await handler.sleep(); });
  }
  sleeper handler;  // outlives its handlers
  deployment d;
};

TEST_CASE("deadlines: a timeout of the call's own") {
  sleepy_deployment server;
  server.d.run([&](rill::method_caller client) -> rill::task<> {
    // A deadline may pass before the call is with the handler.
    for (auto timeout = 30ms; !server.handler.began; timeout *= 2) {
      const rill::status ended =
          co_await status_of(client.call<&Echo::Service::Say>(Note{}, {.timeout = timeout}));
      CHECK(ended.error_code() == rill::status_code::DEADLINE_EXCEEDED);
    }
    co_await server.handler.ended.wait();
    // The client may tell of the cancellation before the server sees its own clock.
    CHECK(server.handler.reason != rill::cancel_reason::none);
  });
}

TEST_CASE("deadlines: a point in time, the earlier of two") {
  sleepy_deployment server;
  server.d.run([&](rill::method_caller client) -> rill::task<> {
    const rill::task_context& context = co_await rill::this_context();
    const clock::time_point soon{std::chrono::nanoseconds{context.home->now()} + 30ms};
    const rill::status ended =
        co_await status_of(client.call<&Echo::Service::Say>(Note{}, {.timeout = 1h, .deadline = soon}));
    CHECK(ended.error_code() == rill::status_code::DEADLINE_EXCEEDED);
    const rill::status again = co_await status_of(
        client.call<&Echo::Service::Say>(Note{}, {.timeout = 30ms, .deadline = soon + 1h}));
    CHECK(again.error_code() == rill::status_code::DEADLINE_EXCEEDED);
  });
}

TEST_CASE("deadlines: a stream's") {
  sleepy_deployment server;
  server.d.run([&](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>({.timeout = 30ms});
    const rill::status ended = co_await status_of(chat.read());
    CHECK(ended.error_code() == rill::status_code::DEADLINE_EXCEEDED);
    CHECK(chat.status().value().error_code() == rill::status_code::DEADLINE_EXCEEDED);
  });
}

TEST_CASE("deadlines: the context's is the call's, and its passing is the call's status") {
  sleepy_deployment server;
  server.d.run([&](rill::method_caller client) -> rill::task<> {
    const rill::task_context& context = co_await rill::this_context();
    const clock::time_point soon{std::chrono::nanoseconds{context.home->now()} + 30ms};
    const rill::status ended =
        co_await status_of(rill::with_deadline(soon, client.call<&Echo::Service::Say>(Note{})));
    CHECK(ended.error_code() == rill::status_code::DEADLINE_EXCEEDED);
  });
}

/// Puts what is left of its deadline, in milliseconds, into the reply; -1 if there is none.
rill::task<Note> tell_deadline(rill::server_context& context, Note request) {
  const rill::task_context& task = co_await rill::this_context();
  const std::optional<clock::time_point> deadline = context.deadline();
  request.set_number(-1);
  if (deadline) {
    const clock::time_point now{std::chrono::nanoseconds{task.home->now()}};
    request.set_number(std::chrono::duration_cast<std::chrono::milliseconds>(*deadline - now).count());
  }
  CHECK(task.has_deadline() == deadline.has_value());
  co_return request;
}

TEST_CASE("deadlines: a handler sees its own, or none") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(tell_deadline);
  d.run([](rill::method_caller client) -> rill::task<> {
    const Note none = co_await client.call<&Echo::Service::Say>(Note{});
    CHECK(none.number() == -1);
    const Note some = co_await client.call<&Echo::Service::Say>(Note{}, {.timeout = 100s});
    CHECK(some.number() <= 102'000);  // gRPC rounds up, by a hundredth at most
    CHECK(some.number() >= 70'000);
  });
}

TEST_CASE("deadlines: downstream calls inherit the handler's") {
  deployment back;
  back.methods.handle<&Echo::Service::Say>(tell_deadline);
  const rill::method_caller downstream = back.client();
  deployment front{back};
  front.methods.handle<&Echo::Service::Say>([&](Note request) -> rill::task<Note> {
    const Note reply = co_await downstream.call<&Echo::Service::Say>(request, {.timeout = 1h});
    co_return reply;
  });
  front.run([](rill::method_caller client) -> rill::task<> {
    const Note some = co_await client.call<&Echo::Service::Say>(Note{}, {.timeout = 100s});
    CHECK(some.number() <= 102'000);  // gRPC rounds up, by a hundredth at most
    CHECK(some.number() >= 70'000);
    const Note own = co_await client.call<&Echo::Service::Say>(Note{});
    CHECK(own.number() > 3'000'000);
  });
}

TEST_CASE("deadlines: one that has passed already") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(tell_deadline);
  d.run([](rill::method_caller client) -> rill::task<> {
    const rill::task_context& context = co_await rill::this_context();
    const clock::time_point past{std::chrono::nanoseconds{context.home->now()} - 1s};
    const rill::status ended =
        co_await status_of(client.call<&Echo::Service::Say>(Note{}, {.deadline = past}));
    CHECK(ended.error_code() == rill::status_code::DEADLINE_EXCEEDED);
  });
}

}  // namespace
