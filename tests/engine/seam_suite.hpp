// What every engine does at the seam. A test file defines `seam_fixture` for its engine, then includes this.
//
// A fixture is made of methods and settings, and has
// - `engine()`: the started server_engine;
// - `run(body)`: runs `body(seam::client&)`, which gives a task, where calls can be opened, and waits for its end.
// Handlers and the body may run on different threads: they meet in channels only.
#pragma once

#include "engine/seam_harness.hpp"

#include <rill/coro/channel.hpp>
#include <rill/coro/select.hpp>
#include <rill/coro/sleep.hpp>
#include <rill/coro/this_context.hpp>
#include <rill/coro/yield.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
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
using seam::client;
using seam::method;

constexpr auto bidi = method_kind::bidi;

task<status> echo(rill::server_call& call) {
  bool more = true;
  while (more) {
    const std::optional<std::string> message = co_await seam::read(call);
    more = message.has_value();
    if (more) co_await seam::write(call, *message);
  }
  co_return status{};
}

/// Waits until its token trips, then says why.
task<status> wait_for_death(rill::server_call& call, rill::channel<cancel_reason>& seen) {
  try {
    bool more = true;
    while (more) {
      const std::optional<std::string> message = co_await seam::read(call);
      more = message.has_value();
    }
  } catch (const rill::operation_cancelled&) {
  }
  static_cast<void>(seen.try_send(call.token().reason()));
  co_return status{};
}

TEST_CASE("seam: a unary call takes one request, one response, metadata both ways and a status") {
  rill::channel<std::string> seen{8};
  seam_fixture fixture{{{"/t.T/Unary", method_kind::unary, [&](rill::server_call& call) -> task<status> {
                           const std::string path{call.path()};
                           static_cast<void>(seen.try_send(std::string{path}));
                           const auto who = call.request_metadata().get("who");
                           static_cast<void>(seen.try_send(std::string{who.value_or("nobody")}));
                           const auto bytes = call.request_metadata().get("raw-bin");
                           static_cast<void>(seen.try_send(std::string{bytes.value_or("nothing")}));
                           const std::optional<std::string> request = co_await seam::read(call);
                           const std::optional<std::string> second = co_await seam::read(call);
                           static_cast<void>(seen.try_send(std::string{second ? "more" : "end"}));
                           call.initial_metadata.add("first", "1");
                           call.trailing_metadata.add("last", "2");
                           call.trailing_metadata.add("last-bin", std::string_view{"\0\xff", 2});
                           co_await seam::write(call, "re: " + request.value());
                           co_await seam::flushed(call);
                           CHECK(call.headers_sent());
                           co_return status{};
                         }}}};
  fixture.run([&](client& by) -> task<> {
    const rill::metadata sent{{"who", "me"}, {"raw-bin", std::string_view{"a\0b", 3}}};
    rill::call_head head = by.head("/t.T/Unary", method_kind::unary);
    head.metadata = &sent;
    seam::opened call{by.to, head, by.home};
    co_await seam::write(*call, "hello");
    call->writes_done();
    const std::optional<std::string> response = co_await seam::read(*call);
    REQUIRE(response.has_value());
    CHECK(*response == "re: hello");
    const status ended = co_await seam::ended(*call);
    CHECK(ended.ok());
    CHECK(call->headers_ready());
    CHECK(call->initial_metadata().get("first") == "1");
    CHECK(call->trailing_metadata().get("last") == "2");
    CHECK(call->trailing_metadata().get("last-bin") == std::string_view{"\0\xff", 2});
    for (const char* expected : {"/t.T/Unary", "me"}) {
      const std::optional<std::string> next = co_await seen.receive();
      CHECK(*next == expected);
    }
    const std::optional<std::string> raw = co_await seen.receive();
    CHECK(*raw == std::string_view{"a\0b", 3});
    const std::optional<std::string> last = co_await seen.receive();
    CHECK(*last == "end");
  });
}

TEST_CASE("seam: server streaming brings every message in order, then the status") {
  seam_fixture fixture{
      {{"/t.T/Down", method_kind::server_streaming, [](rill::server_call& call) -> task<status> {
          const std::optional<std::string> request = co_await seam::read(call);
          const int count = std::stoi(request.value());
          for (int i = 0; i < count; ++i) co_await seam::write(call, std::to_string(i));
          co_return status{status_code::OUT_OF_RANGE, "no more", "details"};
        }}}};
  fixture.run([](client& by) -> task<> {
    seam::opened call{by.to, by.head("/t.T/Down", method_kind::server_streaming), by.home};
    co_await seam::write(*call, "2000");
    call->writes_done();
    for (int i = 0; i < 2000; ++i) {
      const std::optional<std::string> message = co_await seam::read(*call);
      REQUIRE(message.has_value());
      REQUIRE(*message == std::to_string(i));
    }
    const std::optional<std::string> message = co_await seam::read(*call);
    CHECK(!message.has_value());
    CHECK(call->final_status().error_code() == status_code::OUT_OF_RANGE);
    CHECK(call->final_status().error_message() == "no more");
    CHECK(call->final_status().error_details() == "details");
  });
}

TEST_CASE("seam: client streaming ends at the half-close, behind every message") {
  seam_fixture fixture{
      {{"/t.T/Up", method_kind::client_streaming, [](rill::server_call& call) -> task<status> {
          int count = 0;
          bool more = true;
          while (more) {
            const std::optional<std::string> message = co_await seam::read(call);
            more = message.has_value();
            if (more) count += *message == std::to_string(count) ? 1 : 1000000;
          }
          co_await seam::write(call, std::to_string(count));
          co_return status{};
        }}}};
  fixture.run([](client& by) -> task<> {
    for (const int count : {0, 1, 3000}) {
      seam::opened call{by.to, by.head("/t.T/Up", method_kind::client_streaming), by.home};
      for (int i = 0; i < count; ++i) co_await seam::write(*call, std::to_string(i));
      call->writes_done();
      const std::optional<std::string> response = co_await seam::read(*call);
      REQUIRE(response.has_value());
      CHECK(*response == std::to_string(count));
      const status ended = co_await seam::ended(*call);
      CHECK(ended.ok());
    }
  });
}

TEST_CASE("seam: a bidirectional call reads and writes independently") {
  seam_fixture fixture{{{"/t.T/Echo", bidi, echo}}};
  fixture.run([](client& by) -> task<> {
    seam::opened call{by.to, by.head("/t.T/Echo", bidi), by.home};
    for (int i = 0; i < 300; ++i) {
      co_await seam::write(*call, std::to_string(i));
      const std::optional<std::string> message = co_await seam::read(*call);
      REQUIRE(message.has_value());
      REQUIRE(*message == std::to_string(i));
    }
    call->writes_done();
    const status ended = co_await seam::ended(*call);
    CHECK(ended.ok());
  });
}

TEST_CASE("seam: empty and large messages arrive as they were") {
  seam_fixture fixture{{{"/t.T/Echo", bidi, echo}}};
  fixture.run([](client& by) -> task<> {
    seam::opened call{by.to, by.head("/t.T/Echo", bidi), by.home};
    for (const std::size_t size : {0U, 1U, 24U, 70000U, 300000U, 0U}) {
      std::string text(size, '\0');
      for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 7);
      co_await seam::write(*call, text);
      const std::optional<std::string> message = co_await seam::read(*call);
      REQUIRE(message.has_value());
      CHECK(*message == text);
    }
    call->writes_done();
    const status ended = co_await seam::ended(*call);
    CHECK(ended.ok());
  });
}

TEST_CASE("seam: a method that nobody handles is UNIMPLEMENTED at once") {
  seam_fixture fixture{{{"/t.T/Echo", bidi, echo}}};
  fixture.run([](client& by) -> task<> {
    for (const method_kind kind : {method_kind::unary, method_kind::client_streaming, bidi}) {
      seam::opened call{by.to, by.head("/t.T/Nobody", kind), by.home};
      co_await seam::write(*call, "x");
      call->writes_done();
      const status ended = co_await seam::ended(*call);
      CHECK(ended.error_code() == status_code::UNIMPLEMENTED);
    }
  });
}

TEST_CASE(
    "seam: a stream whose reader stops holds no more than its bounds, and goes on when it reads again") {
  rill::channel<int> stuck{4};
  seam::settings bounds;
  bounds.window = 64 * 1024;
  bounds.queue = {8, 32 * 1024};
  constexpr int total = 600;
  seam_fixture fixture{{{"/t.T/Down", bidi,
                         [&](rill::server_call& call) -> task<status> {
                           const std::string kilobyte(1024, 'k');
                           int written = 0;
                           while (call.has_room() == stream_room::yes || written < total) {
                             if (written == total) break;
                             // Room that does not come for half a second does not come without a reader.
                             const auto first =
                                 co_await rill::select(seam::room(call), rill::sleep_for(500ms));
                             if (first.index() == 1) {
                               static_cast<void>(stuck.try_send(int{written}));
                               co_await seam::room(call);
                             }
                             if (!seam::put(call, kilobyte)) co_return status::CANCELLED;
                             ++written;
                           }
                           co_return status{};
                         }}},
                       bounds};
  fixture.run([&](client& by) -> task<> {
    seam::opened call{by.to, by.head("/t.T/Down", bidi), by.home};
    const std::optional<int> held = co_await stuck.receive();
    CHECK(*held >= 8);
    CHECK(*held < 450);  // queue, window, the transport's own buffers, and two relays where there are any
    int count = 0;
    bool more = true;
    while (more) {
      const std::optional<std::string> message = co_await seam::read(*call);
      more = message.has_value();
      if (more) ++count;
    }
    CHECK(count == total);
    CHECK(call->final_status().ok());
  });
}

TEST_CASE("seam: a read that loses a race loses no message") {
  seam_fixture fixture{{{"/t.T/Echo", bidi, echo}}};
  fixture.run([](client& by) -> task<> {
    seam::opened call{by.to, by.head("/t.T/Echo", bidi), by.home};
    int lost_races = 0;
    for (int i = 0; i < 400; ++i) {
      co_await seam::write(*call, std::to_string(i));
      bool here = false;
      std::chrono::microseconds patience{i % 60};  // none at all: the sleep wins
      while (!here) {
        const auto first = co_await rill::select(rill::sleep_for(patience), seam::answer(*call));
        here = first.index() == 1;
        lost_races += here ? 0 : 1;
        patience = 1us + patience;
      }
      const std::optional<std::string> message = co_await seam::read(*call);
      REQUIRE(message.has_value());
      REQUIRE(*message == std::to_string(i));
    }
    CHECK(lost_races > 0);
    call->writes_done();
    const status ended = co_await seam::ended(*call);
    CHECK(ended.ok());
  });
}

TEST_CASE("seam: a waiter that was disarmed does not fire, and one that fired was answered") {
  seam_fixture fixture{{{"/t.T/Echo", bidi, echo}}};
  fixture.run([](client& by) -> task<> {
    struct counting : rill::stream_waiter {
      counting() noexcept
          : stream_waiter{[](stream_waiter& self) noexcept { ++static_cast<counting&>(self).fired; }} {}
      int fired = 0;
    };
    seam::opened call{by.to, by.head("/t.T/Echo", bidi), by.home};
    counting waiter;
    CHECK(call->arm_read(waiter));
    call->disarm_read();
    co_await seam::write(*call, "one");
    const next_message next = co_await seam::answer(*call);
    CHECK(next == next_message::message);
    CHECK(waiter.fired == 0);
    CHECK(!call->arm_read(waiter));  // there is an answer, so nothing is armed
    co_await seam::read(*call);
    co_await rill::yield();
    CHECK(waiter.fired == 0);
    CHECK(call->arm_read(waiter));
    co_await seam::write(*call, "two");
    rill::message_view view;
    while (call->front(view) == next_message::none) co_await rill::sleep_for(1ms);
    while (waiter.fired == 0) co_await rill::sleep_for(1ms);
    CHECK(waiter.fired == 1);
    CHECK(seam::text_of(view) == "two");
  });
}

TEST_CASE("seam: a client that cancels trips the server's token and gets CANCELLED") {
  rill::channel<cancel_reason> seen{4};
  seam_fixture fixture{{{"/t.T/Wait", bidi, [&](rill::server_call& call) -> task<status> {
                           co_await seam::write(call, "here");
                           const status ended = co_await wait_for_death(call, seen);
                           co_return ended;
                         }}}};
  fixture.run([&](client& by) -> task<> {
    seam::opened call{by.to, by.head("/t.T/Wait", bidi), by.home};
    co_await seam::read(*call);
    call->cancel(cancel_reason::cancelled);
    const status ended = co_await seam::ended(*call);
    CHECK(ended.error_code() == status_code::CANCELLED);
    CHECK(call->has_room() == stream_room::dead);
    CHECK(call->reserve(1) == nullptr);
    const std::optional<cancel_reason> why = co_await seen.receive();
    CHECK(*why == cancel_reason::cancelled);
  });
}

TEST_CASE("seam: a call that is let go of before its end is cancelled") {
  rill::channel<cancel_reason> seen{4};
  seam_fixture fixture{{{"/t.T/Wait", bidi, [&](rill::server_call& call) -> task<status> {
                           co_await seam::write(call, "here");
                           const status ended = co_await wait_for_death(call, seen);
                           co_return ended;
                         }}}};
  fixture.run([&](client& by) -> task<> {
    seam::opened call{by.to, by.head("/t.T/Wait", bidi), by.home};
    co_await seam::write(*call, "unread");
    co_await seam::read(*call);
    call.release();
    const std::optional<cancel_reason> why = co_await seen.receive();
    CHECK(*why == cancel_reason::cancelled);
    seam::opened never_used{by.to, by.head("/t.T/Wait", bidi), by.home};
  });
}

TEST_CASE("seam: messages and then a cancellation are never taken for the end of the stream") {
  rill::channel<int> ends{64};
  rill::channel<int> deaths{64};
  seam_fixture fixture{
      {{"/t.T/Up", method_kind::client_streaming, [&](rill::server_call& call) -> task<status> {
          try {
            bool more = true;
            while (more) {
              const std::optional<std::string> message = co_await seam::read(call);
              more = message.has_value();
            }
            static_cast<void>(ends.try_send(1));
          } catch (const rill::operation_cancelled&) {
            static_cast<void>(deaths.try_send(1));
          }
          co_return status{};
        }}}};
  fixture.run([&](client& by) -> task<> {
    for (int i = 0; i < 40; ++i) {
      seam::opened call{by.to, by.head("/t.T/Up", method_kind::client_streaming), by.home};
      for (int n = 0; n < i % 5 + 1; ++n) co_await seam::write(*call, "part");
      co_await seam::flushed(*call);
      if (i % 2 == 0) co_await rill::yield();
      call->cancel(cancel_reason::cancelled);
      const status ended = co_await seam::ended(*call);
      CHECK(ended.error_code() == status_code::CANCELLED);
    }
    // A call that was cancelled at once may never have reached its handler; one that is let through is the last.
    seam::opened last{by.to, by.head("/t.T/Up", method_kind::client_streaming), by.home};
    last->writes_done();
    const status ended = co_await seam::ended(*last);
    CHECK(ended.ok());
  });
  fixture.engine().drain();
  fixture.engine().stop(5s);
  CHECK(ends.size() == 1);
  CHECK(deaths.size() > 0);
}

TEST_CASE("seam: a server that cancels its call ends it for both") {
  seam_fixture fixture{{{"/t.T/Cancel", bidi, [](rill::server_call& call) -> task<status> {
                           co_await seam::read(call);
                           call.cancel(cancel_reason::cancelled);
                           CHECK(call.token().is_cancelled());
                           CHECK(call.has_room() == stream_room::dead);
                           rill::message_view view;
                           CHECK(call.front(view) == next_message::dead);
                           co_return status{};
                         }}}};
  fixture.run([](client& by) -> task<> {
    seam::opened call{by.to, by.head("/t.T/Cancel", bidi), by.home};
    co_await seam::write(*call, "go");
    const status ended = co_await seam::ended(*call);
    CHECK(ended.error_code() == status_code::CANCELLED);
  });
}

TEST_CASE("seam: a deadline ends the call on both sides, each by its own clock") {
  rill::channel<cancel_reason> seen{64};
  seam_fixture fixture{{{"/t.T/Wait", bidi, [&](rill::server_call& call) -> task<status> {
                           CHECK(call.deadline() != rill::detail::never);
                           co_await seam::write(call, "here");
                           const status ended = co_await wait_for_death(call, seen);
                           co_return ended;
                         }}}};
  fixture.run([&](client& by) -> task<> {
    bool arrived = false;
    // A call whose deadline passes before it has reached a busy server tells nothing about the server's side.
    for (std::int64_t span = 100'000'000; !arrived; span *= 2) {
      rill::call_head head = by.head("/t.T/Wait", bidi);
      head.deadline = by.home.now() + span;
      seam::opened call{by.to, head, by.home};
      const std::optional<std::string> message = co_await seam::read(*call);
      arrived = message.has_value();
      const status ended = co_await seam::ended(*call);
      CHECK(ended.error_code() == status_code::DEADLINE_EXCEEDED);
      CHECK(by.home.now() >= head.deadline - 1'000'000);
    }
    const std::optional<cancel_reason> why = co_await seen.receive();
    CHECK(*why != cancel_reason::none);  // its own deadline, or the client's cancellation if that is faster
  });
}

TEST_CASE("seam: a deadline that has passed ends the call at once") {
  seam_fixture fixture{{{"/t.T/Echo", bidi, echo}}};
  fixture.run([](client& by) -> task<> {
    rill::call_head head = by.head("/t.T/Echo", bidi);
    head.deadline = by.home.now() - 1;
    seam::opened call{by.to, head, by.home};
    const status ended = co_await seam::ended(*call);
    CHECK(ended.error_code() == status_code::DEADLINE_EXCEEDED);
  });
}

TEST_CASE("seam: finish takes the queued messages along, abort drops them") {
  seam_fixture fixture{{{"/t.T/Finish", bidi,
                         [](rill::server_call& call) -> task<status> {
                           for (int i = 0; i < 5; ++i) seam::put(call, std::to_string(i));
                           co_return status{status_code::ABORTED, "after five"};
                         }},
                        {"/t.T/Abort", bidi, [](rill::server_call& call) -> task<status> {
                           for (int i = 0; i < 5; ++i) seam::put(call, std::to_string(i));
                           throw rill::operation_cancelled{};
                           co_return status{};
                         }}}};
  fixture.run([](client& by) -> task<> {
    seam::opened finished{by.to, by.head("/t.T/Finish", bidi), by.home};
    for (int i = 0; i < 5; ++i) {
      const std::optional<std::string> message = co_await seam::read(*finished);
      REQUIRE(message.has_value());
      CHECK(*message == std::to_string(i));
    }
    const status ended = co_await seam::ended(*finished);
    CHECK(ended.error_code() == status_code::ABORTED);

    seam::opened aborted{by.to, by.head("/t.T/Abort", bidi), by.home};
    const std::optional<std::string> message = co_await seam::read(*aborted);
    CHECK(!message.has_value());
    CHECK(aborted->final_status().error_code() == status_code::CANCELLED);
  });
}

TEST_CASE("seam: initial metadata can go ahead of everything, and is waited for") {
  rill::channel<int> go{1};
  seam_fixture fixture{{{"/t.T/Headers", bidi,
                         [&](rill::server_call& call) -> task<status> {
                           CHECK(!call.headers_sent());
                           call.initial_metadata.add("early", "yes");
                           call.send_headers();
                           co_await go.receive();
                           CHECK(call.headers_sent());
                           co_return status{};
                         }},
                        {"/t.T/Trailers", bidi, [](rill::server_call& call) -> task<status> {
                           call.initial_metadata.add("late", "yes");
                           call.trailing_metadata.add("end", "yes");
                           co_return status{status_code::NOT_FOUND, "nothing"};
                         }}}};
  fixture.run([&](client& by) -> task<> {
    seam::opened call{by.to, by.head("/t.T/Headers", bidi), by.home};
    const rill::metadata& early = co_await seam::headers(*call);
    CHECK(early.get("early") == "yes");
    rill::message_view view;
    CHECK(call->front(view) == next_message::none);
    CHECK(go.try_send(1));
    const status ended = co_await seam::ended(*call);
    CHECK(ended.ok());

    seam::opened failed{by.to, by.head("/t.T/Trailers", bidi), by.home};
    co_await seam::headers(*failed);
    const status none = co_await seam::ended(*failed);
    CHECK(none.error_code() == status_code::NOT_FOUND);
    CHECK(failed->initial_metadata().get("late") == "yes");
    CHECK(failed->trailing_metadata().get("end") == "yes");
  });
}

TEST_CASE("seam: one payload goes to many streams, and what was taken outlives its call") {
  seam_fixture fixture{{{"/t.T/Echo", bidi, [](rill::server_call& call) -> task<status> {
                           bool more = true;
                           while (more) {
                             const next_message next = co_await seam::answer(call);
                             more = next == next_message::message;
                             if (!more) continue;
                             const rill::payload bytes = call.take();
                             co_await seam::room(call);
                             call.commit(bytes, {});
                             co_await seam::room(call);
                             call.commit(bytes, {});
                           }
                           co_return status{};
                         }}}};
  std::vector<rill::payload> kept;
  const std::string text(8000, 'p');
  fixture.run([&](client& by) -> task<> {
    const rill::payload shared{text};
    std::vector<std::unique_ptr<seam::opened>> calls;
    for (int i = 0; i < 10; ++i) {
      calls.push_back(std::make_unique<seam::opened>(by.to, by.head("/t.T/Echo", bidi), by.home));
      (*calls.back())->commit(shared, {});
      (*calls.back())->writes_done();
    }
    for (auto& call : calls) {
      for (int copy = 0; copy < 2; ++copy) {
        const next_message next = co_await seam::answer(**call);
        REQUIRE(next == next_message::message);
        kept.push_back((*call)->take());
      }
      const status ended = co_await seam::ended(**call);
      CHECK(ended.ok());
    }
  });
  REQUIRE(kept.size() == 20);
  for (const rill::payload& one : kept) CHECK(one.to_string() == text);
}

TEST_CASE("seam: flushed fires once what was committed is on its way") {
  seam_fixture fixture{{{"/t.T/Echo", bidi, echo}}};
  fixture.run([](client& by) -> task<> {
    seam::opened call{by.to, by.head("/t.T/Echo", bidi), by.home};
    for (int i = 0; i < 4; ++i) seam::put(*call, "x");
    co_await seam::flushed(*call);
    CHECK(call->has_room() == stream_room::yes);
    for (int i = 0; i < 4; ++i) co_await seam::read(*call);
    call->cancel(cancel_reason::cancelled);
    co_await seam::flushed(*call);
    const status ended = co_await seam::ended(*call);
    CHECK(ended.error_code() == status_code::CANCELLED);
  });
}

TEST_CASE("seam: a message over a limit ends the call with RESOURCE_EXHAUSTED, whoever's limit it is") {
  rill::call_limits small;
  small.max_receive = 1000;
  seam_fixture fixture{{{"/t.T/Echo", bidi, echo, small},
                        {"/t.T/Unary", method_kind::unary, echo, small},
                        {"/t.T/Big", bidi, [](rill::server_call& call) -> task<status> {
                           co_await seam::write(call, "small");
                           co_await seam::write(call, std::string(2000, 'b'));
                           co_return status{};
                         }}}};
  fixture.run([](client& by) -> task<> {
    const std::string big(1001, 'b');
    {
      seam::opened call{by.to, by.head("/t.T/Echo", bidi), by.home};
      co_await seam::write(*call, big);
      const status ended = co_await seam::ended(*call);
      CHECK(ended.error_code() == status_code::RESOURCE_EXHAUSTED);
    }
    {
      seam::opened call{by.to, by.head("/t.T/Unary", method_kind::unary), by.home};
      co_await seam::write(*call, big);
      call->writes_done();
      const status ended = co_await seam::ended(*call);
      CHECK(ended.error_code() == status_code::RESOURCE_EXHAUSTED);
    }
    {
      rill::call_head head = by.head("/t.T/Echo", bidi);
      head.max_send = 1000;
      seam::opened call{by.to, head, by.home};
      const bool accepted = co_await seam::write(*call, big);
      CHECK(!accepted);
      const status ended = co_await seam::ended(*call);
      CHECK(ended.error_code() == status_code::RESOURCE_EXHAUSTED);
    }
    {
      rill::call_head head = by.head("/t.T/Big", bidi);
      head.max_receive = 1000;
      seam::opened call{by.to, head, by.home};
      const std::optional<std::string> first = co_await seam::read(*call);
      REQUIRE(first.has_value());
      CHECK(*first == "small");
      const status ended = co_await seam::ended(*call);
      CHECK(ended.error_code() == status_code::RESOURCE_EXHAUSTED);
    }
  });
}

TEST_CASE("seam: a client that writes after the server ended the call finds no room") {
  seam_fixture fixture{{{"/t.T/Early", bidi, [](rill::server_call&) -> task<status> {
                           co_return status{status_code::FAILED_PRECONDITION, "no"};
                         }}}};
  fixture.run([](client& by) -> task<> {
    seam::opened call{by.to, by.head("/t.T/Early", bidi), by.home};
    const std::string kilobyte(1024, 'k');
    bool accepted = true;
    for (int i = 0; accepted && i < 100000; ++i) {
      accepted = co_await seam::write(*call, kilobyte);
      if (i % 50 == 49) co_await rill::sleep_for(1ms);
    }
    CHECK(!accepted);
    const status ended = co_await seam::ended(*call);
    CHECK(ended.error_code() == status_code::FAILED_PRECONDITION);
  });
}

TEST_CASE("seam: draining refuses new calls, trips its token and lets calls end") {
  rill::channel<int> draining{2000};
  seam_fixture fixture{{{"/t.T/Long", bidi, [&](rill::server_call& call) -> task<status> {
                           co_await seam::write(call, "started");
                           rill::cancellation_callback tell{call.draining(),
                                                            [&] { static_cast<void>(draining.try_send(1)); }};
                           co_await draining.receive();
                           CHECK(!call.token().is_cancelled());
                           co_await seam::write(call, "goodbye");
                           co_return status{};
                         }}}};
  fixture.run([&](client& by) -> task<> {
    seam::opened call{by.to, by.head("/t.T/Long", bidi), by.home};
    co_await seam::read(*call);
    fixture.engine().drain();
    const std::optional<std::string> message = co_await seam::read(*call);
    REQUIRE(message.has_value());
    CHECK(*message == "goodbye");
    const status ended = co_await seam::ended(*call);
    CHECK(ended.ok());
    // A call that was under way when the draining began may still be served, or be dropped.
    bool refused = false;
    for (int i = 0; i < 1000 && !refused; ++i) {
      seam::opened late{by.to, by.head("/t.T/Long", bidi), by.home};
      const status answer = co_await seam::ended(*late);
      refused = answer.error_code() == status_code::UNAVAILABLE;
    }
    CHECK(refused);
  });
  fixture.engine().stop(5s);
}

TEST_CASE("seam: stop waits for the calls, and at the end of its grace trips their tokens") {
  rill::channel<cancel_reason> seen{4};
  seam_fixture fixture{{{"/t.T/Long", bidi, [&](rill::server_call& call) -> task<status> {
                           co_await seam::write(call, "started");
                           const status ended = co_await wait_for_death(call, seen);
                           co_return ended;
                         }}}};
  std::optional<seam::opened> call;
  fixture.run([&](client& by) -> task<> {
    call.emplace(by.to, by.head("/t.T/Long", bidi), by.home);
    co_await seam::read(**call);
  });
  CHECK(seen.size() == 0);
  fixture.engine().drain();
  fixture.engine().stop(50ms);
  CHECK(seen.try_receive() == cancel_reason::shutdown);
  fixture.run([&](client&) -> task<> {
    co_await seam::ended(**call);
    call.reset();
  });
}

TEST_CASE("seam: many calls at once, each with its own messages") {
  seam_fixture fixture{{{"/t.T/Echo", bidi, echo}}};
  fixture.run([](client& by) -> task<> {
    std::vector<std::unique_ptr<seam::opened>> calls;
    for (int i = 0; i < 200; ++i) {
      calls.push_back(std::make_unique<seam::opened>(by.to, by.head("/t.T/Echo", bidi), by.home));
    }
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 200; ++i) {
        co_await seam::write(**calls[static_cast<std::size_t>(i)], std::to_string(i * 10 + round));
      }
      for (int i = 0; i < 200; ++i) {
        const std::optional<std::string> message = co_await seam::read(**calls[static_cast<std::size_t>(i)]);
        REQUIRE(message.has_value());
        REQUIRE(*message == std::to_string(i * 10 + round));
      }
    }
    for (auto& call : calls) {
      (*call)->writes_done();
      const status ended = co_await seam::ended(**call);
      REQUIRE(ended.ok());
    }
  });
}

}  // namespace
