// Relays: a call used from a home that is not its loop. What crosses, what it costs, how far it runs ahead, and that
// either home may end first.
#include "relay_support.hpp"
#include "rill/coro/channel.hpp"
#include "rill/coro/sync_wait.hpp"
#include "rill/coro/this_context.hpp"
#include "rill/testing/memory_engine.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace rill_test;
using rill::method_kind;
using rill::status_code;
using rill::task;

/// Two homes on this thread: `near`, where tasks run, and `far`, the call's loop.
struct two_homes {
  template <class F>
  void spawn(F body) {
    rill::task_context context;
    context.home = near.get();
    context.token = stop.token();
    run(std::move(body)).post(context);
  }
  void settle() {
    for (int i = 0; i < 20; ++i) {
      if (near) near->turn();
      if (far) far->turn();
    }
  }

  rill::cancellation_source stop;
  std::unique_ptr<counting_home> far = std::make_unique<counting_home>();
  std::unique_ptr<counting_home> near = std::make_unique<counting_home>();

 private:
  template <class F>
  static rill::detail::root run(F body) {
    try {
      co_await body();
    } catch (const rill::operation_cancelled&) {
    }
  }
};

rill::call_head head_of(method_kind kind) {
  rill::call_head head;
  head.path = "/test.Relay/Call";
  head.kind = kind;
  return head;
}

struct scripted : two_homes {
  scripted_call call{*far};
  scripted_connector connector{call};

  rill::client_call& open(method_kind kind = method_kind::bidi) {
    return rill::open_relayed(connector, head_of(kind), *far, *near);
  }
};

}  // namespace

TEST_CASE("relay: a unary call costs one post each way") {
  scripted at;
  at.call.message = "answer";
  at.call.ends = true;
  std::string answer;
  at.spawn([&]() -> task<> {
    client_side call{at.open(method_kind::unary)};
    CHECK(co_await call.write("question"));
    call.call().writes_done();
    const std::optional<std::string> first = co_await call.read();
    answer = first.value_or("nothing");
    const std::optional<std::string> second = co_await call.read();
    CHECK_FALSE(second);
    CHECK(call.call().final_status().ok());
    CHECK(call.call().trailing_metadata().get("farewell") == "bye");
  });
  at.near->from_elsewhere = 0;
  at.near->turn();
  at.near->turn();
  CHECK(at.far->from_elsewhere == 1);
  CHECK(answer.empty());
  at.far->turn();
  CHECK(at.connector.opened == 1);
  CHECK(at.call.path == "/test.Relay/Call");
  CHECK(at.call.committed == 1);
  CHECK(at.call.half_closed == 1);
  CHECK(at.near->from_elsewhere == 1);
  at.near->turn();
  at.near->turn();
  CHECK(answer == "answer");
  CHECK(at.far->from_elsewhere == 2);  // the release
  at.settle();
  CHECK(at.call.released == 1);
  CHECK(at.call.cancelled == 0);
}

TEST_CASE("relay: what is committed before the task suspends crosses in one burst, in order") {
  scripted at;
  bool done = false;
  at.spawn([&]() -> task<> {
    client_side call{at.open()};
    for (int i = 0; i < 50; ++i) co_await call.write(std::to_string(i));
    call.call().writes_done();
    CHECK(at.far->from_elsewhere == 0);
    co_await call.read();
    done = true;
  });
  at.near->turn();
  CHECK(at.far->from_elsewhere == 1);
  at.far->turn();
  CHECK(at.call.committed == 50);
  CHECK(at.call.half_closed == 1);
  at.call.ends = true;
  at.call.say("last", true);
  at.settle();
  CHECK(done);
}

TEST_CASE("relay: a task that commits and then waits for something else has its messages sent") {
  scripted at;
  at.spawn([&]() -> task<> {
    client_side call{at.open()};
    CHECK(co_await call.write("first"));
    rill::channel<int> never{1};
    co_await never.receive();
  });
  at.settle();
  CHECK(at.call.committed == 1);
  at.stop.cancel();
  at.settle();
  CHECK(at.call.released == 1);
}

TEST_CASE("relay: a stream nobody reads is prefetched up to the bound, and no further") {
  scripted at;
  SUBCASE("of messages") { at.call.endless = 10; }
  SUBCASE("of bytes") { at.call.endless = 5000; }
  const int bound = at.call.endless == 10 ? 64 : 14;  // 64 KiB are reached with the 14th message
  rill::channel<int> permits{1000};
  int read = 0;
  at.spawn([&]() -> task<> {
    client_side call{at.open()};
    while (co_await permits.receive()) {
      co_await call.read();
      ++read;
    }
  });
  at.settle();
  CHECK(at.call.taken == bound);
  CHECK(permits.try_send(1));
  at.settle();
  CHECK(read == 1);
  CHECK(at.call.taken == bound);  // one message's room is not worth a post
  const int posts = at.far->from_elsewhere;
  for (int i = 1; i < 320; ++i) CHECK(permits.try_send(1));
  for (int i = 0; i < 5; ++i) at.settle();
  CHECK(read == 320);
  CHECK(at.call.taken <= read + bound);
  CHECK(at.call.taken >= read + bound / 2);
  CHECK(at.far->from_elsewhere - posts <= 2 * 320 / bound + 2);
  permits.close();
  at.settle();
  CHECK(at.call.released == 1);
}

TEST_CASE("relay: a writer waits when the bound is on the way, and goes on when the call accepts") {
  scripted at;
  at.call.room = 10;
  int written = 0;
  at.spawn([&]() -> task<> {
    client_side call{at.open()};
    for (; written < 200; ++written) CHECK(co_await call.write("x"));
    call.call().writes_done();
    co_await call.read();
  });
  at.settle();
  CHECK(at.call.committed == 10);
  CHECK(written == 10 + 64);
  at.call.allow(5);
  at.settle();
  CHECK(at.call.committed == 15);
  CHECK(written == 10 + 64);  // woken when half of the bound is free
  at.call.allow(1000);
  at.settle();
  CHECK(written == 200);
  CHECK(at.call.committed == 200);
  CHECK(at.call.half_closed == 1);
  at.call.say("end", true);
  at.settle();
}

TEST_CASE("relay: one message larger than the bound crosses") {
  scripted at;
  const std::string large(300000, 'y');
  at.call.message = large;
  at.call.ends = true;
  std::optional<std::string> got;
  at.spawn([&]() -> task<> {
    client_side call{at.open()};
    CHECK(co_await call.write(large));
    CHECK(co_await call.write("small"));
    CHECK(co_await call.flush());
    got = co_await call.read();
  });
  at.settle();
  CHECK(at.call.committed == 2);
  CHECK(got == large);
}

TEST_CASE("relay: flush completes when the call has flushed what was committed before it") {
  scripted at;
  at.call.set_flushed(false);
  bool flushed = false;
  at.spawn([&]() -> task<> {
    client_side call{at.open()};
    CHECK(co_await call.write("x"));
    CHECK(co_await call.flush());
    flushed = true;
    CHECK(co_await call.flush());  // nothing new: at once
  });
  at.settle();
  CHECK(at.call.committed == 1);
  CHECK_FALSE(flushed);
  at.call.set_flushed(true);
  at.settle();
  CHECK(flushed);
}

TEST_CASE("relay: initial metadata is waited for, and both kinds of metadata cross") {
  scripted at;
  rill::metadata sent{{"key", "value"}};
  rill::call_head head = head_of(method_kind::bidi);
  head.metadata = &sent;
  rill::client_call& call = rill::open_relayed(at.connector, head, *at.far, *at.near);
  sent.clear();  // it was copied
  struct waiting : rill::stream_waiter {
    waiting() noexcept
        : stream_waiter{[](stream_waiter& w) noexcept { static_cast<waiting&>(w).fired = true; }} {}
    bool fired = false;
  } waiter;
  CHECK_FALSE(call.headers_ready());
  CHECK(call.arm_headers(waiter));
  at.settle();
  CHECK(at.connector.sent_metadata.get("key") == "value");
  CHECK_FALSE(waiter.fired);
  at.call.set_headers();
  at.settle();
  CHECK(waiter.fired);
  CHECK(call.headers_ready());
  CHECK(call.initial_metadata().get("greeting") == "hello");
  CHECK(call.peer() == "scripted");
  waiting again;
  CHECK_FALSE(call.arm_headers(again));
  call.release();
  at.settle();
  CHECK(at.call.released == 1);
}

TEST_CASE("relay: cancelling gives the end, also when the reader was far behind") {
  scripted at;
  at.call.endless = 100;
  bool ended = false;
  at.spawn([&]() -> task<> {
    client_side call{at.open()};
    co_await call.read();
    call.call().cancel(rill::cancel_reason::cancelled);
    CHECK_FALSE(co_await call.write("late"));
    while (co_await call.read()) {
    }
    ended = true;
  });
  at.settle();
  CHECK(ended);
  CHECK(at.call.cancelled == 1);
  CHECK(at.call.committed == 0);
  CHECK(at.call.released == 1);
}

TEST_CASE("relay: a call that is let go of before its loop has run is never opened") {
  scripted at;
  at.open().release();
  at.settle();
  CHECK(at.connector.opened == 0);
}

TEST_CASE("relay: the task's home ends first") {
  scripted at;
  at.spawn([&]() -> task<> {
    client_side call{at.open()};
    CHECK(co_await call.write("x"));
    co_await call.read();
  });
  SUBCASE("before anything ran") {}
  SUBCASE("with the opening under way") { at.near->turn(); }
  SUBCASE("with the reader waiting") { at.settle(); }
  SUBCASE("with an answer under way") {
    at.settle();
    at.call.say("answer", true);
    at.far->turn();
  }
  at.near.reset();
  at.settle();
  CHECK(at.call.released == at.connector.opened);
}

TEST_CASE("relay: a call that somebody keeps longer than its home can still be let go of") {
  scripted at;
  rill::client_call& call = at.open();
  at.settle();
  at.near.reset();
  at.call.say("too late", true);
  at.settle();
  call.release();
  at.settle();
  CHECK(at.call.released == at.connector.opened);
}

TEST_CASE("relay: a message over the call's limit is refused at once, and fails the call") {
  scripted at;
  rill::call_head head = head_of(method_kind::bidi);
  head.max_send = 10;
  bool done = false;
  at.spawn([&]() -> task<> {
    client_side call{rill::open_relayed(at.connector, head, *at.far, *at.near)};
    CHECK(co_await call.write("0123456789"));
    CHECK_FALSE(co_await call.write("0123456789a"));
    CHECK_FALSE(co_await call.write("x"));
    co_await call.read();
    done = true;
  });
  at.settle();
  CHECK(at.call.committed == 1);
  CHECK(at.call.reserved == 11);
  at.call.say("end", true);
  at.settle();
  CHECK(done);
}

TEST_CASE("relay: the call's loop ends first") {
  scripted at;
  std::optional<rill::status> seen;
  at.spawn([&]() -> task<> {
    client_side call{at.open()};
    CHECK(co_await call.write("x"));
    while (co_await call.read()) {
    }
    seen = call.call().final_status();
    CHECK_FALSE(co_await call.write("late"));
  });
  SUBCASE("before the call was opened") { at.near->turn(); }
  SUBCASE("while it is open") { at.settle(); }
  at.far.reset();
  at.settle();
  REQUIRE(seen);
  CHECK(seen->error_code() == status_code::UNAVAILABLE);
  CHECK(at.call.released == at.connector.opened);
}

namespace {

/// A server in memory on a loop of its own, whose handlers run on `handlers`; clients live on any home.
struct server {
  explicit server(handler run, method_kind kind = method_kind::bidi,
                  std::function<rill::scheduler&()> homes = {})
      : method{std::move(homes), std::make_shared<handler>(std::move(run))},
        methods{method.entry("/test.Relay/Call", kind)} {
    if (!method.homes) {
      handlers = std::make_unique<thread_home>();
      method.homes = [this]() -> rill::scheduler& { return *handlers; };
    }
    engine->start(methods);
    connector = engine->in_process();
  }

  std::unique_ptr<thread_home> handlers;
  thread_home loop;
  thread_home client_loop;
  relayed_method method;
  std::vector<rill::method_entry> methods;
  std::unique_ptr<rill::testing::memory_engine> engine = std::make_unique<rill::testing::memory_engine>(loop);
  std::shared_ptr<rill::connector> connector;

  rill::client_call& open(rill::scheduler& home, const rill::call_head& head) {
    return rill::open_relayed(*connector, head, client_loop, home, connector);
  }
};

task<rill::status> echo(rill::server_call& call) {
  side stream{call};
  while (std::optional<std::string> text = co_await stream.read()) co_await stream.write(*text);
  co_return rill::status{};
}

task<> send_numbers(client_side& call, int count) {
  for (int i = 0; i < count; ++i) {
    if (!co_await call.write(std::to_string(i))) co_return;
  }
  call.call().writes_done();
}

/// How many numbers came back, in order; -1 if they were out of order.
task<int> receive_numbers(client_side& call) {
  int next = 0;
  while (std::optional<std::string> text = co_await call.read()) {
    if (*text != std::to_string(next)) co_return -1;
    ++next;
  }
  co_return next;
}

rill::detail::root detach(task<> work, std::atomic<int>& running) {
  try {
    co_await std::move(work);
  } catch (const rill::operation_cancelled&) {
  }
  running.fetch_sub(1);
  running.notify_all();
}

}  // namespace

TEST_CASE("relay: what a handler on another home learns and says crosses") {
  std::string path;
  std::string peer;
  std::string key;
  std::int64_t deadline = 0;
  std::thread::id ran_on;
  server at{[&](rill::server_call& call) -> task<rill::status> {
    side stream{call};
    ran_on = std::this_thread::get_id();
    path = call.path();
    peer = call.peer();
    key = call.request_metadata().get("key").value_or("none");
    deadline = call.deadline();
    call.initial_metadata.add("first", "1");
    CHECK_FALSE(call.headers_sent());
    call.send_headers();
    CHECK(call.headers_sent());
    const std::optional<std::string> request = co_await stream.read();
    co_await stream.write("answer to " + request.value_or("nothing"));
    call.trailing_metadata.add("last", "2");
    co_return rill::status{status_code::ABORTED, "as agreed"};
  }};
  const rill::metadata sent{{"key", "value"}};
  const std::int64_t due = rill::detail::steady_now() + 60'000'000'000;
  rill::sync_wait([&]() -> task<> {
    rill::call_head head = head_of(method_kind::bidi);
    head.metadata = &sent;
    head.deadline = due;
    rill::task_context& context = co_await rill::this_context();
    client_side call{at.open(*context.home, head)};
    co_await call.write("question");
    call.call().writes_done();
    CHECK(co_await call.read() == "answer to question");
    CHECK_FALSE(co_await call.read());
    CHECK(call.call().final_status().error_code() == status_code::ABORTED);
    CHECK(call.call().final_status().error_message() == "as agreed");
    CHECK(call.call().initial_metadata().get("first") == "1");
    CHECK(call.call().trailing_metadata().get("last") == "2");
  }());
  CHECK(ran_on == at.handlers->thread());
  CHECK(path == "/test.Relay/Call");
  CHECK(peer == "memory");
  CHECK(key == "value");
  CHECK(deadline <= due + 5'000'000'000);
  CHECK(deadline != rill::detail::never);
}

TEST_CASE("relay: a long stream crosses in order, both ways at once") {
  server at{echo};
  thread_home writing;
  const int count = stress(20000);
  const int back = rill::sync_wait([&]() -> task<int> {
    rill::task_context& context = co_await rill::this_context();
    client_side call{at.open(*context.home, head_of(method_kind::bidi))};
    std::atomic<int> running{1};
    detach(send_numbers(call, count), running).start(context);
    const int received = co_await receive_numbers(call);
    co_return received;
  }());
  CHECK(back == count);
}

TEST_CASE("relay: a client that goes away trips the handler's token") {
  rill::channel<bool> started{1};
  rill::channel<bool> unwound{1};
  server at{[&](rill::server_call& call) -> task<rill::status> {
    side stream{call};
    try {
      CHECK(co_await stream.read() == "x");
      co_await started.send(true);
      co_await stream.read();
    } catch (const rill::operation_cancelled&) {
      CHECK(call.token().is_cancelled());
      CHECK(call.has_room() == rill::stream_room::dead);
      CHECK(call.reserve(1) == nullptr);
      CHECK(unwound.try_send(true));
      throw;
    }
    co_return rill::status{};
  }};
  rill::sync_wait([&]() -> task<> {
    rill::task_context& context = co_await rill::this_context();
    {
      client_side call{at.open(*context.home, head_of(method_kind::bidi))};
      co_await call.write("x");
      co_await started.receive();
    }
    co_await unwound.receive();
  }());
}

TEST_CASE("relay: stopping the server does not wait for a home that does not run") {
  counting_home idle;
  bool unwound = false;
  {
    server at{[&](rill::server_call& call) -> task<rill::status> {
                side stream{call};
                try {
                  co_await stream.read();
                  co_await stream.read();
                } catch (const rill::operation_cancelled&) {
                  unwound = true;
                  CHECK(call.token().reason() == rill::cancel_reason::shutdown);
                  CHECK(call.draining().is_cancelled());
                  CHECK(call.path() == "/test.Relay/Call");
                  throw;
                }
                co_return rill::status{};
              },
              method_kind::bidi, [&]() -> rill::scheduler& { return idle; }};
    SUBCASE("with the handler waiting") {
      rill::sync_wait([&]() -> task<> {
        rill::task_context& context = co_await rill::this_context();
        client_side call{at.open(*context.home, head_of(method_kind::bidi))};
        co_await call.write("x");
        co_await call.flush();
        CHECK(at.engine->calls() == 1);
        for (int i = 0; i < 5; ++i) idle.turn();
        at.engine->stop(std::chrono::nanoseconds{0});
        while (co_await call.read()) {
        }
        CHECK(call.call().final_status().error_code() == status_code::UNAVAILABLE);
      }());
    }
    SUBCASE("with nobody connected") { unwound = true; }
    at.engine->stop(std::chrono::nanoseconds{0});
  }
  for (int i = 0; i < 5; ++i) idle.turn();
  CHECK(unwound);
}

TEST_CASE("relay: a home that is destroyed under its handlers fails their calls") {
  auto handlers = std::make_unique<thread_home>();
  rill::channel<bool> started{1};
  server at{[&](rill::server_call& call) -> task<rill::status> {
              side stream{call};
              co_await stream.read();
              co_await started.send(true);
              co_await stream.read();
              co_return rill::status{};
            },
            method_kind::bidi, [&]() -> rill::scheduler& { return *handlers; }};
  rill::sync_wait([&]() -> task<> {
    rill::task_context& context = co_await rill::this_context();
    client_side call{at.open(*context.home, head_of(method_kind::bidi))};
    co_await call.write("x");
    co_await started.receive();
    handlers.reset();
    CHECK_FALSE(co_await call.read());
    CHECK(call.call().final_status().error_code() == status_code::UNAVAILABLE);
  }());
}

namespace {

/// One call of the stress test: echoes some numbers, and may be cut short in several ways.
task<> one_call(server& at, unsigned fate, std::atomic<int>& wrong) {
  rill::task_context& context = co_await rill::this_context();
  client_side call{at.open(*context.home, head_of(method_kind::bidi))};
  const int count = static_cast<int>(fate % 100);
  int next = 0;
  for (int i = 0; i < count; ++i) {
    if (!co_await call.write(std::to_string(i))) co_return;
    if (fate % 7 == 0 && i == count / 2) call.call().cancel(rill::cancel_reason::cancelled);
    if (fate % 5 == 0 && i == count / 3) co_return;
    if (i % 3 == 0) {
      const std::optional<std::string> text = co_await call.read();
      if (!text) co_return;
      if (*text != std::to_string(next++)) wrong.fetch_add(1);
    }
  }
  call.call().writes_done();
  while (std::optional<std::string> text = co_await call.read()) {
    if (*text != std::to_string(next++)) wrong.fetch_add(1);
  }
  if (call.call().final_status().ok() && next != count) wrong.fetch_add(1);
}

}  // namespace

TEST_CASE("relay: calls that are cut short anywhere leave nothing behind") {
  std::atomic<int> wrong{0};
  std::atomic<unsigned> served{0};
  server at{[&](rill::server_call& call) -> task<rill::status> {
    side stream{call};
    const unsigned fate = served.fetch_add(1);
    unsigned left = fate % 11 == 0 ? 20 : 1000;
    while (std::optional<std::string> text = co_await stream.read()) {
      if (left-- == 0) {
        if (fate % 2 == 0) call.cancel(rill::cancel_reason::cancelled);
        co_return rill::status{status_code::ABORTED, "cut"};
      }
      if (!co_await stream.write(*text)) throw rill::operation_cancelled{};
    }
    co_return rill::status{};
  }};
  thread_home clients;
  const int rounds = stress(60);
  for (int round = 0; round < rounds; ++round) {
    std::atomic<int> running{8};
    rill::cancellation_source stop;
    rill::task_context context;
    context.home = &clients;
    context.token = stop.token();
    for (int i = 0; i < 8; ++i) {
      detach(one_call(at, static_cast<unsigned>(round * 8 + i) * 2654435761U >> 8, wrong), running)
          .post(context);
    }
    if (round % 3 == 0) stop.cancel();
    for (int left = running.load(); left != 0; left = running.load()) running.wait(left);
  }
  CHECK(wrong == 0);
  CHECK(served > 0);
}

TEST_CASE("relay: homes and engines that end in the middle of calls, in either order, leave nothing behind") {
  const int rounds = stress(40);
  for (int round = 0; round < rounds; ++round) {
    std::atomic<int> wrong{0};
    std::atomic<int> running{1 << 20};
    rill::channel<bool> some{64};
    auto handlers = std::make_unique<thread_home>();
    auto clients = std::make_unique<thread_home>();
    auto at = std::make_unique<server>(
        [&](rill::server_call& call) -> task<rill::status> {
          side stream{call};
          while (std::optional<std::string> text = co_await stream.read()) {
            static_cast<void>(some.try_send(true));
            if (!co_await stream.write(*text)) throw rill::operation_cancelled{};
          }
          co_return rill::status{};
        },
        method_kind::bidi, [&]() -> rill::scheduler& { return *handlers; });
    rill::task_context context;
    context.home = clients.get();
    for (unsigned i = 0; i < 4; ++i) detach(one_call(*at, 10 + i, wrong), running).post(context);
    rill::sync_wait([&]() -> task<> { co_await some.receive(); }());
    switch (round % 4) {
      case 0:
        clients.reset();
        at->engine->stop(std::chrono::nanoseconds{0});
        handlers.reset();
        break;
      case 1:
        at->engine->stop(std::chrono::nanoseconds{0});
        handlers.reset();
        clients.reset();
        break;
      case 2:
        at->engine->stop(std::chrono::nanoseconds{0});
        clients.reset();
        handlers.reset();
        break;
      default:
        clients.reset();
        at->engine->drain();
        at->engine->stop(std::chrono::nanoseconds{0});
        at.reset();
        handlers.reset();
    }
    CHECK(wrong == 0);
  }
}
