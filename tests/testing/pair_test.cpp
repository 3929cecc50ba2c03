// Pairs: a typed server and its client in one test, in memory with virtual time and over gRPC without a port.
#include "echo.grpc.pb.h"

#include <rill/coro/async_generator.hpp>
#include <rill/coro/sleep.hpp>
#include <rill/coro/spawn.hpp>
#include <rill/coro/sync_wait.hpp>
#include <rill/coro/this_context.hpp>
#include <rill/coro/with_timeout.hpp>
#include <rill/testing/doctest.hpp>
#include <rill/testing/pair.hpp>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;
using namespace rill::test::v1;
using rill::task;

task<Note> say(Note note) {
  note.set_text("said " + note.text());
  co_return note;
}

task<> chat(rill::server_context&, rill::reader<Note>& in, rill::writer<Note>& out) {
  bool more = true;
  while (more) {
    std::optional<Note> note = co_await in.read();
    more = note.has_value();
    if (more) co_await out.write(std::move(*note));
  }
}

/// Never answers; says why it ended.
struct sleeper {
  task<Note> operator()(rill::server_context& context, Note) {
    try {
      co_await rill::sleep_for(1h);
    } catch (const rill::operation_cancelled&) {
      *why = context.token().reason();
      throw;
    }
    co_return Note{};
  }
  std::optional<rill::cancel_reason>* why;
};

Note note_of(const char* text) {
  Note note;
  note.set_text(text);
  return note;
}

RILL_TEST_CASE("a memory pair makes typed calls in virtual time") {
  const rill::task_context& context = co_await rill::this_context();
  rill::testing::memory_pair pair{context};
  pair.handle<&Echo::Service::Say>(say);
  pair.handle<&Echo::Service::Chat>(chat);
  const auto client = pair.client();
  const Note said = co_await client.call<&Echo::Service::Say>(note_of("hello"));
  CHECK(said.text() == "said hello");
  auto stream = client.call<&Echo::Service::Chat>();
  for (int i = 0; i < 100; ++i) {
    Note note;
    note.set_number(i);
    co_await stream.write(note);
    const std::optional<Note> back = co_await stream.read();
    REQUIRE(back.has_value());
    CHECK(back->number() == i);
  }
  co_await stream.finish();
  CHECK_THROWS_AS(
      pair.handle<&Echo::Service::Expand>([](Note) -> rill::async_generator<Note> { co_yield Note{}; }),
      rill::usage_error);
}

RILL_TEST_CASE("a timeout of an hour is tested at once, and reaches the handler") {
  const rill::task_context& context = co_await rill::this_context();
  std::optional<rill::cancel_reason> why;
  {
    rill::testing::memory_pair pair{context};
    pair.handle<&Echo::Service::Say>(sleeper{&why});
    const auto client = pair.client();
    std::optional<rill::status_code> code;
    try {
      static_cast<void>(co_await client.call<&Echo::Service::Say>(note_of("x"), {.timeout = 59min}));
    } catch (const rill::status_error& error) {
      code = error.code();
    }
    CHECK(code == rill::status_code::DEADLINE_EXCEEDED);
  }
  CHECK(why == rill::cancel_reason::deadline);
}

RILL_TEST_CASE("a broken connection is UNAVAILABLE at the client and a cancellation at the handler") {
  const rill::task_context& context = co_await rill::this_context();
  std::optional<rill::cancel_reason> why;
  rill::testing::memory_pair pair{context};
  pair.handle<&Echo::Service::Say>(sleeper{&why});
  const auto client = pair.client();
  auto breaker = [&]() -> task<> {
    co_await rill::sleep_for(1min);
    pair.connection().disconnect();
  };
  rill::spawn(*context.home, breaker());
  std::optional<rill::status_code> code;
  try {
    static_cast<void>(co_await client.call<&Echo::Service::Say>(note_of("x")));
  } catch (const rill::status_error& error) {
    code = error.code();
  }
  CHECK(code == rill::status_code::UNAVAILABLE);
  pair.shutdown(0ns);
  CHECK(why == rill::cancel_reason::cancelled);
}

RILL_TEST_CASE("shutting a memory pair down lets handlers end within the grace") {
  const rill::task_context& context = co_await rill::this_context();
  rill::testing::memory_pair pair{context};
  pair.handle<&Echo::Service::Say>([](Note note) -> task<Note> {
    co_await rill::sleep_for(10s);
    co_return note;
  });
  const auto client = pair.client();
  std::optional<std::string> answer;
  auto caller = [&]() -> task<> {
    const Note note = co_await client.call<&Echo::Service::Say>(note_of("last"));
    answer = note.text();
  };
  rill::spawn(*context.home, caller());
  co_await rill::sleep_for(1s);
  const std::int64_t before = context.home->now();
  pair.shutdown(1h);
  CHECK(context.home->now() == before + std::chrono::nanoseconds{9s}.count());
  co_await rill::sleep_for(1s);
  CHECK(answer == "last");
}

TEST_CASE("an in-process pair makes typed calls over gRPC without a port") {
  rill::testing::in_process_pair pair;
  pair.handle<&Echo::Service::Say>(say);
  pair.handle<&Echo::Service::Chat>(chat);
  auto body = [&]() -> task<> {
    const rill::client client = pair.client();
    const Note said = co_await client.call<&Echo::Service::Say>(note_of("hello"), {.timeout = 30s});
    CHECK(said.text() == "said hello");
    auto stream = client.call<&Echo::Service::Chat>({.timeout = 30s});
    for (int i = 0; i < 20; ++i) {
      Note note;
      note.set_number(i);
      co_await stream.write(note);
      const std::optional<Note> back = co_await stream.read();
      REQUIRE(back.has_value());
      CHECK(back->number() == i);
    }
    co_await stream.finish();
  };
  rill::sync_wait(body());
  pair.shutdown(5s);
}

}  // namespace
