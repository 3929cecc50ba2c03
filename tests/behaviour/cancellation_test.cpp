// Cancellation: from the client to everything under its handler, from a task to its call, and waits that are abandoned.
#include "behaviour/fixture.hpp"

#include <rill/coro/channel.hpp>
#include <rill/coro/event.hpp>
#include <rill/coro/select.hpp>
#include <rill/coro/when_all.hpp>
#include <rill/coro/when_any.hpp>
#include <rill/coro/with_cancellation.hpp>
#include <rill/coro/with_timeout.hpp>

#include <atomic>
#include <variant>

namespace {

using namespace behaviour;

/// A handler that waits for ever, and tells when it began and how it ended.
struct sleeper {
  rill::event began;
  rill::event ended;
  std::atomic<rill::cancel_reason> reason{rill::cancel_reason::none};

  rill::task<> sleep() {
    rill::channel<int> nothing{1};
    began.set();
    try {
      static_cast<void>(co_await nothing.receive());
    } catch (const rill::operation_cancelled& cancelled) {
      reason = cancelled.reason();
      ended.set();
      throw;
    }
  }
};

TEST_CASE("cancellation: a client's cancel reaches whatever its handler waits for") {
  sleeper handler;
  deployment d;
  d.methods.handle<&Echo::Service::Chat>(
      [&](rill::reader<Note>&, rill::writer<Note>&) -> rill::task<> { co_await handler.sleep(); });
  d.run([&](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>();
    co_await chat.write(Note{});
    co_await handler.began.wait();
    chat.cancel();
    const rill::status ended = co_await status_of(chat.read());
    CHECK(ended.error_code() == rill::status_code::CANCELLED);
    co_await handler.ended.wait();
    CHECK(handler.reason == rill::cancel_reason::cancelled);
  });
}

TEST_CASE("cancellation: a stream cancelled before its first operation") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>([&](rill::reader<Note>& in, rill::writer<Note>&) -> rill::task<> {
    while (auto one = co_await in.read()) {
    }
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>();
    chat.cancel();
    const rill::status ended = co_await status_of(chat.finish());
    CHECK(ended.error_code() == rill::status_code::CANCELLED);
  });
}

TEST_CASE("cancellation: a unary call whose task is cancelled has ended before the exception comes") {
  sleeper handler;
  deployment d;
  d.methods.handle<&Echo::Service::Say>([&](Note request) -> rill::task<Note> {
    co_await handler.sleep();
    co_return request;
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    rill::cancellation_source stop;
    const auto call = [&]() -> rill::task<> {
      bool cancelled = false;
      auto made = client.call<&Echo::Service::Say>(Note{});
      try {
        const Note none = co_await rill::with_cancellation(stop.token(), std::move(made));
      } catch (const rill::operation_cancelled& caught) {
        cancelled = caught.reason() == rill::cancel_reason::cancelled;
      }
      CHECK(cancelled);
    };
    const auto cancel = [&]() -> rill::task<> {
      co_await handler.began.wait();
      stop.cancel();
    };
    co_await rill::when_all(call(), cancel());
    co_await handler.ended.wait();
  });
}

TEST_CASE("cancellation: a cancelled task makes no call") {
  std::atomic<int> calls{0};
  deployment d;
  d.methods.handle<&Echo::Service::Say>([&](Note request) -> rill::task<Note> {
    ++calls;
    co_return request;
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    rill::cancellation_source stop;
    stop.cancel();
    bool cancelled = false;
    try {
      const Note none =
          co_await rill::with_cancellation(stop.token(), client.call<&Echo::Service::Say>(Note{}));
    } catch (const rill::operation_cancelled&) {
      cancelled = true;
    }
    CHECK(cancelled);
    const Note reply = co_await client.call<&Echo::Service::Say>(Note{});
  });
  CHECK(calls == 1);
}

TEST_CASE("cancellation: a handler's downstream call ends when the handler's client goes away") {
  sleeper backend;
  deployment back;
  back.methods.handle<&Echo::Service::Say>([&](Note request) -> rill::task<Note> {
    co_await backend.sleep();
    co_return request;
  });
  const rill::method_caller downstream = back.client();
  rill::event unwound;
  deployment front{back};
  front.methods.handle<&Echo::Service::Expand>([&](Note request, rill::writer<Note>& out) -> rill::task<> {
    try {
      const Note reply = co_await downstream.call<&Echo::Service::Say>(request);
      co_await out.write(reply);
    } catch (const rill::operation_cancelled&) {
      unwound.set();
      throw;
    }
  });
  front.run([&](rill::method_caller client) -> rill::task<> {
    {
      auto notes = client.call<&Echo::Service::Expand>(Note{});
      const auto read = [&]() -> rill::task<> {
        const auto none = co_await notes.read();
        CHECK_FALSE(none.has_value());
      };
      const auto reached = [&]() -> rill::task<> { co_await backend.began.wait(); };
      co_await rill::when_any(read(), reached());
    }
    co_await backend.ended.wait();
    co_await unwound.wait();
  });
}

TEST_CASE("cancellation: when_any cancels the calls that lost") {
  sleeper slow;
  deployment d;
  d.methods.handle<&Echo::Service::Say>([&](Note request) -> rill::task<Note> {
    if (request.text() == "slow") {
      co_await slow.sleep();
    } else {
      co_await slow.began.wait();
    }
    co_return request;
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    const Note slowly = note("slow");
    const Note fast = note("fast");
    const auto first = co_await rill::when_any(client.call<&Echo::Service::Say>(slowly),
                                               client.call<&Echo::Service::Say>(fast));
    REQUIRE(first.index() == 1);
    CHECK(std::get<1>(first).text() == "fast");
    co_await slow.ended.wait();
  });
}

TEST_CASE("cancellation: a read that lost a select stays with its stream, on the client") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>([](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
    while (auto one = co_await in.read()) co_await out.write(*one);
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>();
    rill::channel<int> other{1};
    std::int64_t next = 0;
    for (std::int64_t sent = 0; sent < 200; ++sent) {
      if (sent % 3 == 0) other.try_send(1);
      co_await chat.write(note("", sent));
      auto first = co_await rill::select(other.receive(), chat.read());
      if (first.index() == 1) CHECK(std::get<1>(first).value().number() == next++);
    }
    while (next < 200) {
      const auto left = co_await chat.read();
      CHECK(left.value().number() == next++);
    }
    co_await chat.finish();
  });
}

TEST_CASE("cancellation: a read that lost a select stays with its stream, on the server") {
  rill::channel<int> ticks{4};
  deployment d;
  d.methods.handle<&Echo::Service::Collect>([&](rill::reader<Note>& in) -> rill::task<Summary> {
    Summary summary;
    std::int64_t next = 0;
    bool more = true;
    while (more) {
      auto first = co_await rill::select(ticks.receive(), in.read());
      if (first.index() == 0) {
        summary.set_total(summary.total() + 1);
      } else if (std::optional<Note>& one = std::get<1>(first)) {
        CHECK(one->number() == next++);
      } else {
        more = false;
      }
    }
    summary.set_count(next);
    co_return summary;
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    auto upload = client.call<&Echo::Service::Collect>();
    co_await ticks.send(1);
    for (std::int64_t i = 0; i < 500; ++i) {
      if (i % 3 == 0) ticks.try_send(1);  // while the read waits, has a message, or is about to get one
      co_await upload.write(note("", i));
      if (i % 10 == 0) co_await upload.flush();
    }
    const Summary summary = co_await upload.finish();
    CHECK(summary.count() == 500);
    CHECK(summary.total() > 0);
  });
}

TEST_CASE("cancellation: a read that timed out loses nothing") {
  rill::event timed_out;
  deployment d;
  d.methods.handle<&Echo::Service::Expand>([&](const Note&) -> rill::async_generator<Note> {
    co_await timed_out.wait();
    co_yield note("late");
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    auto notes = client.call<&Echo::Service::Expand>(Note{});
    bool late = false;
    try {
      const auto none = co_await rill::with_timeout(1ms, notes.read());
    } catch (const rill::timeout_error&) {
      late = true;
    }
    CHECK(late);
    timed_out.set();
    const auto one = co_await notes.read();
    CHECK(one.value().text() == "late");
    co_await notes.finish();
  });
}

TEST_CASE("cancellation: a unary call that times out") {
  sleeper handler;
  deployment d;
  d.methods.handle<&Echo::Service::Say>([&](Note request) -> rill::task<Note> {
    co_await handler.sleep();
    co_return request;
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    bool late = false;
    try {
      const Note none = co_await rill::with_timeout(20ms, client.call<&Echo::Service::Say>(Note{}));
    } catch (const rill::timeout_error&) {
      late = true;
    }
    CHECK(late);
  });
}

TEST_CASE("cancellation: a handler that is cancelled cannot write any more") {
  rill::event refused;
  deployment d;
  d.methods.handle<&Echo::Service::Chat>(
      [&](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
        try {
          while (auto one = co_await in.read()) co_await out.write(*one);
        } catch (const rill::operation_cancelled&) {
        }
        bool both = false;
        try {
          co_await out.write(Note{});
        } catch (const rill::operation_cancelled&) {
          try {
            static_cast<void>(out.try_write(Note{}));
          } catch (const rill::operation_cancelled&) {
            both = true;
          }
        }
        CHECK(both);
        refused.set();
      });
  d.run([&](rill::method_caller client) -> rill::task<> {
    {
      auto chat = client.call<&Echo::Service::Chat>();
      co_await chat.write(Note{});
      const auto same = co_await chat.read();
      CHECK(same.has_value());
    }
    co_await refused.wait();
  });
}

}  // namespace
