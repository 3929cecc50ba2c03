// Server streaming: generators and writers, the end of the stream, and leaving early.
#include "behaviour/fixture.hpp"

#include <rill/coro/event.hpp>
#include <rill/rpc/encoded.hpp>

#include <atomic>

namespace {

using namespace behaviour;

rill::async_generator<Note> count_up(Note request) {
  for (std::int64_t i = 0; i < request.number(); ++i) co_yield note(request.text(), i);
}
rill::async_generator<Note> count_up_in_context(rill::server_context& context, const Note& request) {
  for (std::int64_t i = 0; i < request.number(); ++i) co_yield note(std::string{context.method()}, i);
}
rill::async_generator<rill::encoded<Note>> repeat(Note request) {
  const rill::encoded<Note> same{request};
  for (std::int64_t i = 0; i < request.number(); ++i) co_yield same;
}
rill::task<> write_up(const Note& request, rill::writer<Note>& out) {
  for (std::int64_t i = 0; i < request.number(); ++i) co_await out.write(note(request.text(), i));
}
rill::task<grpc::Status> write_then_status(rill::server_context&, Note request, rill::writer<Note>& out) {
  for (std::int64_t i = 0; i < request.number(); ++i) co_await out.write(note(request.text(), i));
  co_return grpc::Status{grpc::StatusCode::ABORTED, "after all"};
}

rill::task<> expect_all(rill::method_caller client) {
  for (const std::int64_t count : {0, 1, 3, 1000}) {
    auto notes = client.call<&Echo::Service::Expand>(note("", count));
    std::int64_t next = 0;
    while (auto got = co_await notes.read()) CHECK(got->number() == next++);
    CHECK(next == count);
    const std::optional<rill::status> ended = notes.status();
    REQUIRE(ended.has_value());
    CHECK(ended->ok());
    co_await notes.finish();
  }
}

TEST_CASE("server streaming: a generator") {
  deployment d;
  d.methods.handle<&Echo::Service::Expand>(count_up);
  d.run(expect_all);
}

TEST_CASE("server streaming: a generator with a context") {
  deployment d;
  d.methods.handle<&Echo::Service::Expand>(count_up_in_context);
  d.run(expect_all);
}

TEST_CASE("server streaming: a writer") {
  deployment d;
  d.methods.handle<&Echo::Service::Expand>(write_up);
  d.run(expect_all);
}

TEST_CASE("server streaming: messages that were serialised once") {
  deployment d;
  d.methods.handle<&Echo::Service::Expand>(repeat);
  d.run([](rill::method_caller client) -> rill::task<> {
    auto notes = client.call<&Echo::Service::Expand>(note("same", 50));
    Note got;  // reused
    int seen = 0;
    while (co_await notes.read(got)) {
      ++seen;
      CHECK(got.text() == "same");
      CHECK(got.number() == 50);
    }
    CHECK(seen == 50);
  });
}

TEST_CASE("server streaming: the status comes after the messages, and as an exception") {
  deployment d;
  d.methods.handle<&Echo::Service::Expand>(write_then_status);
  d.run([](rill::method_caller client) -> rill::task<> {
    auto notes = client.call<&Echo::Service::Expand>(note("", 3));
    int seen = 0;
    std::string message;
    try {
      while (auto got = co_await notes.read()) ++seen;
    } catch (const rill::status_error& error) {
      message = error.what();
    }
    CHECK(seen == 3);
    CHECK(message == "ABORTED: after all");
    const rill::status ended = co_await status_of(notes.finish());
    CHECK(ended.error_code() == rill::status_code::ABORTED);
  });
}

TEST_CASE("server streaming: finish drops what was not read") {
  deployment d;
  d.methods.handle<&Echo::Service::Expand>(count_up);
  d.run([](rill::method_caller client) -> rill::task<> {
    auto notes = client.call<&Echo::Service::Expand>(note("", 500));
    const auto first = co_await notes.read();
    REQUIRE(first.has_value());
    CHECK_FALSE(notes.status().has_value());
    co_await notes.finish();
    REQUIRE(notes.status().has_value());
    CHECK(notes.status()->ok());
    const auto none = co_await notes.read();
    CHECK_FALSE(none.has_value());
  });
}

/// Yields for ever; tells how it was left.
struct endless {
  rill::async_generator<Note> operator()(const Note&) const {
    try {
      for (std::int64_t i = 0;; ++i) co_yield note("", i);
    } catch (const rill::operation_cancelled&) {
      thrown->set();
      throw;
    }
  }
  rill::event* thrown;
};

TEST_CASE("server streaming: finish can cancel an endless stream, whose co_yield throws") {
  rill::event thrown;
  deployment d;
  d.methods.handle<&Echo::Service::Expand>(endless{&thrown});
  d.run([&](rill::method_caller client) -> rill::task<> {
    auto notes = client.call<&Echo::Service::Expand>(Note{});
    const auto first = co_await notes.read();
    CHECK(first.has_value());
    co_await notes.finish(rill::unread::cancel);
    co_await thrown.wait();
  });
}

TEST_CASE("server streaming: a stream that is destroyed early cancels its call") {
  rill::event thrown;
  deployment d;
  d.methods.handle<&Echo::Service::Expand>(endless{&thrown});
  d.run([&](rill::method_caller client) -> rill::task<> {
    {
      auto notes = client.call<&Echo::Service::Expand>(Note{});
      const auto first = co_await notes.read();
      CHECK(first.has_value());
    }
    co_await thrown.wait();
  });
}

TEST_CASE("server streaming: a handler that swallows the cancellation and yields on ends all the same") {
  rill::event ended;
  deployment d;
  struct on_exit {
    rill::event& to;
    ~on_exit() { to.set(); }
  };
  d.methods.handle<&Echo::Service::Expand>([&](const Note&) -> rill::async_generator<Note> {
    const on_exit tell{ended};
    for (;;) {
      try {
        co_yield Note{};
      } catch (const rill::operation_cancelled&) {
      }
    }
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    {
      auto notes = client.call<&Echo::Service::Expand>(Note{});
      const auto first = co_await notes.read();
      CHECK(first.has_value());
    }
    co_await ended.wait();
  });
}

TEST_CASE("server streaming: a stream that is never used makes no call") {
  std::atomic<int> calls{0};
  deployment d;
  d.methods.handle<&Echo::Service::Expand>([&](const Note&) -> rill::async_generator<Note> {
    ++calls;
    co_return;
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    {
      auto unused = client.call<&Echo::Service::Expand>(Note{});
    }
    auto used = client.call<&Echo::Service::Expand>(Note{});
    co_await used.finish();
  });
  CHECK(calls == 1);
}

}  // namespace
