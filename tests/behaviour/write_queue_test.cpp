// The write queue: bounded, first come first served, never losing what it accepted.
#include "behaviour/fixture.hpp"

#include <rill/coro/channel.hpp>
#include <rill/coro/event.hpp>
#include <rill/coro/select.hpp>
#include <rill/coro/when_all.hpp>

#include <algorithm>
#include <atomic>

namespace {

using namespace behaviour;

constexpr settings narrow{.queue = {.messages = 4}, .window = 65'536};

Note chunk(std::int64_t number) {
  Note made = note("", number);
  made.set_data(std::string(16'384, 'x'));
  return made;
}

TEST_CASE("write queue: a fast writer is never far ahead of a slow reader") {
  std::atomic<std::int64_t> accepted{0};
  deployment d{narrow};
  d.methods.handle<&Echo::Service::Expand>([&](const Note&, rill::writer<Note>& out) -> rill::task<> {
    for (std::int64_t i = 0; i < 2000; ++i) {
      co_await out.write(chunk(i));
      accepted = i + 1;
    }
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    auto notes = client.call<&Echo::Service::Expand>(Note{});
    std::int64_t read = 0;
    std::int64_t most = 0;
    while (auto one = co_await notes.read()) {
      CHECK(one->number() == read++);
      most = std::max(most, accepted - read);
    }
    CHECK(read == 2000);
    CHECK(most < 64);  // 1 MiB
  });
}

TEST_CASE("write queue: a fast client is never far ahead of a slow server") {
  std::atomic<std::int64_t> accepted{0};
  deployment d{narrow};
  d.methods.handle<&Echo::Service::Collect>([&](rill::reader<Note>& in) -> rill::task<Summary> {
    Summary summary;
    std::int64_t most = 0;
    while (auto one = co_await in.read()) {
      CHECK(one->number() == summary.count());
      summary.set_count(summary.count() + 1);
      most = std::max(most, accepted - summary.count());
    }
    CHECK(most < 64);
    co_return summary;
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    auto upload = client.call<&Echo::Service::Collect>();
    for (std::int64_t i = 0; i < 2000; ++i) {
      co_await upload.write(chunk(i));
      accepted = i + 1;
    }
    const Summary summary = co_await upload.finish();
    CHECK(summary.count() == 2000);
  });
}

TEST_CASE("write queue: writers that wait take turns in the order in which they came") {
  deployment d{narrow};
  d.methods.handle<&Echo::Service::Expand>([](const Note&, rill::writer<Note>& out) -> rill::task<> {
    std::int64_t next = 0;
    const auto burst = [&]() -> rill::task<> {
      for (int i = 0; i < 50; ++i) {
        const Note numbered = chunk(next++);  // numbered when its write begins to wait
        co_await out.write(numbered);
      }
    };
    co_await rill::when_all(burst(), burst(), burst(), burst());
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto notes = client.call<&Echo::Service::Expand>(Note{});
    std::int64_t next = 0;
    while (auto one = co_await notes.read()) CHECK(one->number() == next++);
    CHECK(next == 200);
  });
}

TEST_CASE("write queue: try_write is false when the queue is full, and takes nothing then") {
  deployment d{narrow};
  d.methods.handle<&Echo::Service::Expand>([](const Note&, rill::writer<Note>& out) -> rill::task<> {
    std::int64_t next = 0;
    bool was_full = false;
    for (int i = 0; i < 1000 || !was_full; ++i) {
      if (out.try_write(chunk(next))) {
        ++next;
      } else {
        was_full = true;
        co_await out.flush();
      }
    }
    co_await out.write(note("last", next));
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto notes = client.call<&Echo::Service::Expand>(Note{});
    std::int64_t next = 0;
    bool last = false;
    while (auto one = co_await notes.read()) {
      CHECK_FALSE(last);
      CHECK(one->number() == next++);
      last = one->text() == "last";
    }
    CHECK(last);
  });
}

TEST_CASE("write queue: try_write on a client's stream") {
  deployment d{narrow};
  d.methods.handle<&Echo::Service::Collect>([](rill::reader<Note>& in) -> rill::task<Summary> {
    Summary summary;
    while (auto one = co_await in.read()) summary.set_count(summary.count() + 1);
    co_return summary;
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto upload = client.call<&Echo::Service::Collect>();
    CHECK_FALSE(upload.try_write(Note{}));  // there is no call yet
    co_await upload.write(Note{});
    std::int64_t accepted = 1;
    bool full = false;
    while (!full) {
      if (upload.try_write(chunk(accepted))) {
        ++accepted;
      } else {
        full = true;
      }
    }
    co_await upload.flush();
    const Summary summary = co_await upload.finish();
    CHECK(summary.count() == accepted);
  });
}

TEST_CASE("write queue: the half-close comes behind the writes that wait, and refuses those after it") {
  deployment d{narrow};
  d.methods.handle<&Echo::Service::Chat>([](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
    std::int64_t count = 0;
    while (auto one = co_await in.read()) ++count;
    co_await out.write(note("", count));
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>();
    const auto write = [&](int times) -> rill::task<int> {
      int accepted = 0;
      try {
        for (int i = 0; i < times; ++i) {
          co_await chat.write(chunk(i));
          ++accepted;
        }
      } catch (const rill::usage_error&) {
      }
      co_return accepted;
    };
    const auto close = [&]() -> rill::task<> { co_await chat.writes_done(); };
    // The queue is full long before: `many` waits, then the half-close, then `none`.
    const auto [many, nothing, none] = co_await rill::when_all(write(100), close(), write(1));
    CHECK(many > 0);
    const auto count = co_await chat.read();
    CHECK(count.value().number() == many + none);
    co_await chat.finish();
  });
}

TEST_CASE("write queue: a write that lost a select has written nothing, and its message is as it was") {
  deployment d{narrow};
  d.methods.handle<&Echo::Service::Expand>([](const Note&, rill::writer<Note>& out) -> rill::task<> {
    rill::channel<int> ticks{1};
    std::int64_t next = 0;
    int lost = 0;
    bool tick = true;  // each other message loses once
    while (next < 500) {
      if (std::exchange(tick, false)) ticks.try_send(1);
      const Note numbered = chunk(next);
      auto first = co_await rill::select(ticks.receive(), out.write(numbered));
      if (first.index() == 1) {
        ++next;
        tick = next % 2 == 0;
      } else {
        ++lost;
        CHECK(numbered.data().size() == 16'384);
      }
    }
    CHECK(lost > 0);
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto notes = client.call<&Echo::Service::Expand>(Note{});
    std::int64_t next = 0;
    while (auto one = co_await notes.read()) CHECK(one->number() == next++);
    CHECK(next == 500);
  });
}

TEST_CASE("write queue: a write that waits ends when its client goes away") {
  rill::event ended;
  deployment d{narrow};
  d.methods.handle<&Echo::Service::Expand>([&](const Note&, rill::writer<Note>& out) -> rill::task<> {
    const auto flood = [&]() -> rill::task<> {
      for (std::int64_t i = 0;; ++i) co_await out.write(chunk(i));
    };
    try {
      co_await rill::when_all(flood(), flood());
    } catch (const rill::operation_cancelled&) {
      ended.set();
      throw;
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

TEST_CASE("write queue: a message larger than the queue passes an empty one") {
  deployment d{{.queue = {.messages = 4, .bytes = 1000}}};
  d.methods.handle<&Echo::Service::Expand>([](const Note&) -> rill::async_generator<Note> {
    for (std::int64_t i = 0; i < 10; ++i) co_yield chunk(i);
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto notes = client.call<&Echo::Service::Expand>(Note{});
    std::int64_t next = 0;
    while (auto one = co_await notes.read()) CHECK(one->number() == next++);
    CHECK(next == 10);
  });
}

}  // namespace
