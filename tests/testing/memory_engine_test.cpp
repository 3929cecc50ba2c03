// What is special to the engine in memory: exact time, a connection that fails on demand, and several homes.
#include "engine/seam_harness.hpp"

#include <rill/coro/channel.hpp>
#include <rill/coro/sleep.hpp>
#include <rill/coro/this_context.hpp>
#include <rill/coro/uncancellable.hpp>
#include <rill/coro/yield.hpp>
#include <rill/engine/cq/runtime.hpp>
#include <rill/testing/doctest.hpp>
#include <rill/testing/memory_engine.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rill::cancel_reason;
using rill::method_kind;
using rill::next_message;
using rill::status;
using rill::status_code;
using rill::stream_room;
using rill::task;

constexpr std::int64_t ms = 1'000'000;

/// A server in memory and a way to call it, on the test's own loop.
class world {
 public:
  explicit world(const rill::task_context& context, const rill::testing::memory_options& options = {})
      : home{*context.home}, engine{home, options} {}

  void handle(const char* path, method_kind kind, seam::handler handle) {
    methods_.push_back({path, kind, std::move(handle)});
  }
  void start() {
    entries_ = seam::entries_of(methods_);
    engine.start(entries_);
    to = engine.in_process();
  }
  [[nodiscard]] rill::testing::memory_connection& connection() { return engine.connection(); }

 private:
  std::vector<seam::method> methods_;
  std::vector<rill::method_entry> entries_;

 public:
  rill::scheduler& home;
  rill::testing::memory_engine engine;
  std::shared_ptr<rill::connector> to;
};

rill::call_head head_of(const char* path, method_kind kind = method_kind::bidi) {
  return seam::client::head(path, kind);
}

task<status> echo(rill::server_call& call) {
  bool more = true;
  while (more) {
    const std::optional<std::string> message = co_await seam::read(call);
    more = message.has_value();
    if (more) co_await seam::write(call, *message);
  }
  co_return status{};
}

/// A reader that notes what became of it, on a token of its own.
struct reader {
  std::optional<std::string> message;
  bool cancelled = false;
  bool ended = false;
};
rill::detail::root read_into(rill::byte_stream& from, reader& into) {
  try {
    into.message = co_await seam::read(from);
  } catch (const rill::operation_cancelled&) {
    into.cancelled = true;
  }
  into.ended = true;
}

RILL_TEST_CASE("a message leaves when the task suspends, and not before") {
  world here{co_await rill::this_context()};
  here.handle("/echo", method_kind::bidi, echo);
  here.start();
  seam::opened call{*here.to, head_of("/echo"), here.home};
  co_await rill::yield();
  for (int i = 0; i < 16; ++i) CHECK(seam::put(*call, "x"));
  CHECK(call->has_room() == stream_room::no);
  co_await rill::yield();
  CHECK(call->has_room() == stream_room::yes);
}

RILL_TEST_CASE("a queue is bounded in messages and in bytes, and an empty one takes anything") {
  rill::testing::memory_options options;
  options.queue = {4, 1000};
  world here{co_await rill::this_context(), options};
  here.handle("/echo", method_kind::bidi, echo);
  here.start();
  seam::opened call{*here.to, head_of("/echo"), here.home};
  for (int i = 0; i < 4; ++i) CHECK(seam::put(*call, "x"));
  CHECK(call->has_room() == stream_room::no);
  co_await seam::flushed(*call);
  CHECK(seam::put(*call, std::string(5000, 'x')));
  CHECK(call->has_room() == stream_room::no);
}

RILL_TEST_CASE("a wait that completes first, is cancelled first, or both at once, loses no message") {
  world here{co_await rill::this_context()};
  here.handle("/echo", method_kind::bidi, echo);
  here.start();
  rill::task_context context = co_await rill::this_context();
  seam::opened call{*here.to, head_of("/echo"), here.home};
  for (int order = 0; order < 3; ++order) {
    rill::cancellation_source stop;
    context.token = stop.token();
    reader first;
    read_into(*call, first).start(context);
    CHECK(!first.ended);
    if (order == 1) stop.cancel();
    co_await seam::write(*call, std::to_string(order));
    if (order == 2) {
      // The answer is here, and the reader's wait is cancelled before or after it is told: in the same breath.
      rill::message_view view;
      while (call->front(view) == next_message::none) co_await rill::yield();
      stop.cancel();
    }
    while (!first.ended) co_await rill::yield();
    if (order == 0) {
      CHECK(!first.cancelled);
      stop.cancel();
    }
    if (order == 1) CHECK(first.cancelled);
    if (first.cancelled) {
      const std::optional<std::string> message = co_await seam::read(*call);
      CHECK(message == std::to_string(order));
    } else {
      CHECK(first.message == std::to_string(order));
    }
  }
}

TEST_CASE("a home that is destroyed lets go of its calls, and their servers learn of it") {
  rill::testing::virtual_time_loop servers;
  std::optional<cancel_reason> seen;
  std::vector<seam::method> methods;
  methods.push_back({"/wait", method_kind::bidi, [&](rill::server_call& call) -> task<status> {
                       try {
                         co_await seam::read(call);
                       } catch (const rill::operation_cancelled&) {
                         seen = call.token().reason();
                       }
                       co_return status{};
                     }});
  const auto entries = seam::entries_of(methods);
  rill::testing::memory_engine engine{servers};
  engine.start(entries);
  const auto to = engine.in_process();
  reader waiting;
  {
    rill::detail::run_loop clients;
    rill::task_context context;
    context.home = &clients;
    struct holder {
      static rill::detail::root run(rill::connector& by, rill::scheduler& home, reader& into) {
        seam::opened call{by, head_of("/wait"), home};
        into.message = co_await seam::read(*call);
        into.ended = true;
      }
    };
    holder::run(*to, clients, waiting).start(context);
    auto started = [&]() -> task<> {
      while (engine.calls() == 0) co_await rill::yield();
      co_await rill::sleep_for(1s);
    };
    rill::testing::run_on(servers, started());
    CHECK(!seen.has_value());
  }
  CHECK(!waiting.ended);
  auto settled = [&]() -> task<> { co_await rill::sleep_for(1s); };
  rill::testing::run_on(servers, settled());
  CHECK(seen == cancel_reason::cancelled);
  CHECK(engine.calls() == 0);
}

RILL_TEST_CASE("a deadline passes at its nanosecond on both sides") {
  std::int64_t died = 0;
  std::optional<cancel_reason> why;
  world here{co_await rill::this_context()};
  here.handle("/wait", method_kind::bidi, [&](rill::server_call& call) -> task<status> {
    try {
      co_await seam::read(call);
    } catch (const rill::operation_cancelled&) {
      died = call.home().now();
      why = call.token().reason();
    }
    co_return status{};
  });
  here.start();
  rill::call_head head = head_of("/wait");
  head.deadline = here.home.now() + 5000 * ms;
  seam::opened call{*here.to, head, here.home};
  const status ended = co_await seam::ended(*call);
  CHECK(ended.error_code() == status_code::DEADLINE_EXCEEDED);
  CHECK(here.home.now() == head.deadline);
  while (!why) co_await rill::yield();
  CHECK(why == cancel_reason::deadline);
  CHECK(died == head.deadline);
}

RILL_TEST_CASE("a call that ends in time leaves no timer behind") {
  world here{co_await rill::this_context()};
  here.handle("/echo", method_kind::bidi, echo);
  here.start();
  const std::int64_t before = here.home.now();
  {
    rill::call_head head = head_of("/echo");
    head.deadline = before + 5000 * ms;
    seam::opened call{*here.to, head, here.home};
    co_await seam::write(*call, "x");
    call->writes_done();
    const status ended = co_await seam::ended(*call);
    CHECK(ended.ok());
  }
  // The clock would jump to a timer that is left, before it gets to this one.
  co_await rill::sleep_for(1ms);
  CHECK(here.home.now() == before + ms);
}

RILL_TEST_CASE(
    "a broken connection: the client gets UNAVAILABLE, the server's token trips, nothing is half there") {
  std::optional<cancel_reason> why;
  int messages = 0;
  world here{co_await rill::this_context()};
  here.handle("/up", method_kind::client_streaming, [&](rill::server_call& call) -> task<status> {
    try {
      bool more = true;
      while (more) {
        const std::optional<std::string> message = co_await seam::read(call);
        more = message.has_value();
        messages += more ? 1 : 100;
      }
    } catch (const rill::operation_cancelled&) {
      why = call.token().reason();
    }
    co_return status{};
  });
  here.start();
  seam::opened call{*here.to, head_of("/up", method_kind::client_streaming), here.home};
  co_await seam::write(*call, "one");
  co_await seam::write(*call, "two");
  while (messages < 2) co_await rill::yield();
  here.connection().disconnect();
  const status ended = co_await seam::ended(*call);
  CHECK(ended.error_code() == status_code::UNAVAILABLE);
  while (!why) co_await rill::yield();
  CHECK(why == cancel_reason::cancelled);
  CHECK(messages == 2);

  seam::opened again{*here.to, head_of("/up", method_kind::client_streaming), here.home};
  again->writes_done();
  const status fine = co_await seam::ended(*again);
  CHECK(fine.ok());
}

RILL_TEST_CASE(
    "a server that is down refuses calls, and those that wait for ready get through once it is up") {
  world here{co_await rill::this_context()};
  here.handle("/echo", method_kind::bidi, echo);
  here.start();
  here.connection().down();
  seam::opened refused{*here.to, head_of("/echo"), here.home};
  const status no = co_await seam::ended(*refused);
  CHECK(no.error_code() == status_code::UNAVAILABLE);

  rill::call_head patient = head_of("/echo");
  patient.wait_for_ready = true;
  rill::call_head hurried = patient;
  hurried.deadline = here.home.now() + 10 * ms;
  seam::opened waits{*here.to, patient, here.home};
  seam::opened late{*here.to, hurried, here.home};
  rill::call_head nobody = head_of("/nobody");
  nobody.wait_for_ready = true;
  seam::opened unknown{*here.to, nobody, here.home};
  co_await seam::write(*waits, "x");
  waits->writes_done();
  const status gave_up = co_await seam::ended(*late);
  CHECK(gave_up.error_code() == status_code::DEADLINE_EXCEEDED);
  CHECK(here.engine.calls() == 0);
  here.connection().up();
  const status ended = co_await seam::ended(*waits);
  CHECK(ended.ok());
  const status unhandled = co_await seam::ended(*unknown);
  CHECK(unhandled.error_code() == status_code::UNIMPLEMENTED);

  here.connection().down();
  seam::opened stranded{*here.to, patient, here.home};
  here.engine.drain();
  here.engine.stop(0ns);
  const status stopped = co_await seam::ended(*stranded);
  CHECK(stopped.error_code() == status_code::UNAVAILABLE);
}

RILL_TEST_CASE("a frozen connection delivers nothing, not even a cancellation, until it thaws") {
  std::optional<cancel_reason> why;
  world here{co_await rill::this_context()};
  here.handle("/echo", method_kind::bidi, echo);
  here.handle("/wait", method_kind::bidi, [&](rill::server_call& call) -> task<status> {
    try {
      co_await seam::read(call);
    } catch (const rill::operation_cancelled&) {
      why = call.token().reason();
    }
    co_return status{};
  });
  here.start();
  seam::opened call{*here.to, head_of("/echo"), here.home};
  seam::opened waits{*here.to, head_of("/wait"), here.home};
  rill::call_head hurried = head_of("/echo");
  hurried.deadline = here.home.now() + 10 * ms;
  seam::opened late{*here.to, hurried, here.home};
  co_await rill::sleep_for(1ms);
  here.connection().freeze();
  co_await seam::write(*call, "x");
  waits->cancel(cancel_reason::cancelled);
  const status cancelled = co_await seam::ended(*waits);
  CHECK(cancelled.error_code() == status_code::CANCELLED);
  const status gave_up = co_await seam::ended(*late);
  CHECK(gave_up.error_code() == status_code::DEADLINE_EXCEEDED);
  co_await rill::sleep_for(1h);
  rill::message_view view;
  CHECK(call->front(view) == next_message::none);
  CHECK(!why.has_value());
  here.connection().thaw();
  const std::optional<std::string> message = co_await seam::read(*call);
  CHECK(message == "x");
  while (!why) co_await rill::yield();
}

RILL_TEST_CASE("a slow connection delays headers, messages and the end, and keeps their order") {
  world here{co_await rill::this_context()};
  here.handle("/talk", method_kind::bidi, [](rill::server_call& call) -> task<status> {
    const std::optional<std::string> request = co_await seam::read(call);
    call.send_headers();
    co_await rill::sleep_for(10ms);
    co_await seam::write(call, "re: " + *request);
    co_await rill::sleep_for(10ms);
    co_return status{};
  });
  here.start();
  here.connection().delay(100ms);
  const std::int64_t start = here.home.now();
  seam::opened call{*here.to, head_of("/talk"), here.home};
  co_await seam::write(*call, "x");
  co_await rill::sleep_for(115ms);
  here.connection().delay(0ms);  // the end, sent after this, does not overtake the message
  co_await seam::headers(*call);
  CHECK(here.home.now() == start + 200 * ms);
  const std::optional<std::string> message = co_await seam::read(*call);
  CHECK(message == "re: x");
  CHECK(here.home.now() == start + 210 * ms);
  const status ended = co_await seam::ended(*call);
  CHECK(ended.ok());
  CHECK(here.home.now() == start + 210 * ms);
}

RILL_TEST_CASE("a reader whose window is stalled holds its writer back, however much it reads") {
  int written = 0;
  rill::testing::memory_options options;
  options.window = 1000;
  options.queue = {2, 1000};
  world here{co_await rill::this_context(), options};
  here.handle("/down", method_kind::bidi, [&](rill::server_call& call) -> task<status> {
    const std::string text(95, 't');
    for (; written < 100; ++written) {
      const bool accepted = co_await seam::write(call, text);
      if (!accepted) break;
    }
    co_return status{};
  });
  here.start();
  here.connection().stall_clients(true);
  seam::opened call{*here.to, head_of("/down"), here.home};
  for (int i = 0; i < 10; ++i) {
    const std::optional<std::string> message = co_await seam::read(*call);
    CHECK(message.has_value());
  }
  co_await rill::sleep_for(1h);
  CHECK(written == 12);  // a window of ten, a queue of two
  rill::message_view view;
  CHECK(call->front(view) == next_message::none);
  here.connection().stall_clients(false);
  const status ended = co_await seam::ended(*call);
  CHECK(ended.ok());
  CHECK(written == 100);
}

RILL_TEST_CASE("unary calls with no request, several requests, no response or several responses") {
  int started = 0;
  world here{co_await rill::this_context()};
  here.handle("/unary", method_kind::unary, [&](rill::server_call& call) -> task<status> {
    ++started;
    const std::optional<std::string> first = co_await seam::read(call);
    const std::optional<std::string> second = co_await seam::read(call);
    CHECK(!second.has_value());
    if (*first == "none") co_return status{};
    co_await seam::write(call, *first);
    if (*first == "two") co_await seam::write(call, *first);
    co_return status{};
  });
  here.start();
  const rill::call_head head = head_of("/unary", method_kind::unary);
  {
    seam::opened call{*here.to, head, here.home};
    call->writes_done();
    const status ended = co_await seam::ended(*call);
    CHECK(ended.error_code() == status_code::INTERNAL);
    CHECK(started == 0);
  }
  {
    seam::opened call{*here.to, head, here.home};
    co_await seam::write(*call, "one");
    co_await seam::write(*call, "ignored");
    const std::optional<std::string> response = co_await seam::read(*call);
    CHECK(response == "one");
    const status ended = co_await seam::ended(*call);
    CHECK(ended.ok());
  }
  {
    seam::opened call{*here.to, head, here.home};
    co_await seam::write(*call, "none");
    const std::optional<std::string> response = co_await seam::read(*call);
    CHECK(!response.has_value());
    CHECK(call->final_status().ok());
  }
  {
    seam::opened call{*here.to, head, here.home};
    co_await seam::write(*call, "two");
    const std::optional<std::string> response = co_await seam::read(*call);
    CHECK(response == "two");
    const status ended = co_await seam::ended(*call);
    CHECK(ended.error_code() == status_code::UNIMPLEMENTED);
  }
  CHECK(here.engine.calls() == 0);
}

RILL_TEST_CASE("a shared payload is handed over, not copied") {
  const char* received = nullptr;
  world here{co_await rill::this_context()};
  here.handle("/up", method_kind::bidi, [&](rill::server_call& call) -> task<status> {
    co_await seam::answer(call);
    const rill::payload bytes = call.take();
    received = bytes.view().first.data;
    co_return status{};
  });
  here.start();
  const rill::payload bytes{"shared"};
  seam::opened call{*here.to, head_of("/up"), here.home};
  call->commit(bytes, {});
  const status ended = co_await seam::ended(*call);
  CHECK(ended.ok());
  CHECK(received == bytes.view().first.data);
}

RILL_TEST_CASE(
    "stop waits out its grace, then trips tokens, then cuts the calls of handlers that do not end") {
  std::int64_t tripped = 0;
  std::int64_t dead = 0;
  world here{co_await rill::this_context()};
  here.handle("/stubborn", method_kind::bidi, [&](rill::server_call& call) -> task<status> {
    call.send_headers();
    rill::cancellation_callback tell{call.token(), [&] { tripped = call.home().now(); }};
    const next_message next = co_await rill::uncancellable(seam::answer(call));
    CHECK(next == next_message::dead);
    dead = call.home().now();
    co_return status{};
  });
  here.start();
  seam::opened call{*here.to, head_of("/stubborn"), here.home};
  co_await seam::headers(*call);
  const std::int64_t start = here.home.now();
  here.engine.drain();
  here.engine.stop(20ms);
  CHECK(here.engine.calls() == 0);
  CHECK(tripped == start + 20 * ms);
  CHECK(dead == start + 520 * ms);
  const status ended = co_await seam::ended(*call);
  CHECK(ended.error_code() == status_code::UNAVAILABLE);
}

TEST_CASE("an engine is started once, with different paths") {
  rill::detail::run_loop loop;
  std::vector<seam::method> methods;
  methods.push_back({"/echo", method_kind::bidi, echo});
  methods.push_back({"/echo", method_kind::unary, echo});
  const auto entries = seam::entries_of(methods);
  rill::testing::memory_engine engine{loop};
  CHECK_THROWS_AS(engine.start(entries), rill::usage_error);
  rill::testing::memory_engine other{loop};
  other.start(std::span{entries}.first(1));
  CHECK_THROWS_AS(other.start(std::span{entries}.first(1)), rill::usage_error);
  other.stop(0ns);
  CHECK_THROWS_AS(other.start(std::span{entries}.first(1)), rill::usage_error);
}

TEST_CASE("server and clients on different threads: every call ends, whoever cancels it") {
  rill::runtime loops{3};
  std::atomic<int> echoed{0};
  std::vector<seam::method> methods;
  methods.push_back({"/echo", method_kind::bidi, [&](rill::server_call& call) -> task<status> {
                       bool more = true;
                       while (more) {
                         const std::optional<std::string> message = co_await seam::read(call);
                         more = message.has_value();
                         if (more) co_await seam::write(call, *message);
                         if (more && *message == "cancel") call.cancel(cancel_reason::cancelled);
                         echoed.fetch_add(1);
                       }
                       co_return status{};
                     }});
  const auto entries = seam::entries_of(methods);
  rill::testing::memory_engine engine{loops.loop(0)};
  engine.start(entries);
  const auto to = engine.in_process();
  std::atomic<int> ok{0};
  std::atomic<int> failed{0};

  struct client {
    static rill::detail::root run(rill::connector& by, rill::scheduler& home, int seed,
                                  std::atomic<int>& good, std::atomic<int>& bad, std::promise<void>& done) {
      for (int i = 0; i < 150; ++i) {
        rill::call_head head = head_of("/echo");
        if ((i + seed) % 5 == 0) head.deadline = home.now() + (i % 3) * ms / 10;
        seam::opened call{by, head, home};
        for (int n = 0; n < 5; ++n) co_await seam::write(*call, std::to_string(n));
        if ((i + seed) % 5 == 1) co_await seam::write(*call, "cancel");
        if ((i + seed) % 5 == 2) call->cancel(cancel_reason::cancelled);
        if ((i + seed) % 5 == 3) continue;
        call->writes_done();
        const status ended = co_await seam::ended(*call);
        (ended.ok() ? good : bad).fetch_add(1);
      }
      done.set_value();
    }
  };
  std::vector<std::promise<void>> done(4);
  for (std::size_t i = 0; i < done.size(); ++i) {
    rill::scheduler& home = loops.loop(1 + i % 2);
    rill::task_context context;
    context.home = &home;
    client::run(*to, home, static_cast<int>(i), ok, failed, done[i]).post(context);
  }
  for (auto& one : done) one.get_future().get();
  engine.drain();
  engine.stop(5s);
  CHECK(engine.calls() == 0);
  CHECK(ok + failed == 4 * 120);
  CHECK(ok >= 4 * 30);
  CHECK(failed >= 4 * 60);
  CHECK(echoed > 0);
}

}  // namespace
