// What the tests of gRPC on Asio executors share: an echo server, and a context that a thread runs.
#pragma once

#include "../asio/support.hpp"
#include "echo.grpc.pb.h"
#include "rill/asio.hpp"
#include "rill/rill.hpp"

#include <asio/io_context.hpp>
#include <doctest/doctest.h>

#include <string>
#include <utility>

namespace rill_test {

using rill::test::v1::Echo;
using rill::test::v1::Note;
using rill::test::v1::Summary;

inline Note note(std::string text, long number = 0) {
  Note made;
  made.set_text(std::move(text));
  made.set_number(number);
  return made;
}

inline rill::task<Note> say(Note request) { co_return request; }
inline rill::async_generator<Note> expand(Note request) {
  for (long i = 0; i < request.number(); ++i) co_yield note(request.text(), i);
}
inline rill::task<Summary> collect(rill::reader<Note>& in) {
  Summary sum;
  while (const auto one = co_await in.read()) {
    sum.set_count(sum.count() + 1);
    sum.set_total(sum.total() + one->number());
  }
  co_return sum;
}
inline rill::task<> chat(rill::reader<Note>& in, rill::writer<Note>& out) {
  while (auto one = co_await in.read()) co_await out.write(*one);
}

/// Sends `count` numbered notes and takes them back; how many came back in order.
inline rill::task<long> chat_with(rill::client& client, long count) {
  auto stream = client.call<&Echo::Service::Chat>();
  const auto send = [&]() -> rill::task<> {
    for (long i = 0; i < count; ++i) co_await stream.write(note("x", i));
    co_await stream.writes_done();
  };
  const auto receive = [&]() -> rill::task<long> {
    long next = 0;
    while (const auto one = co_await stream.read()) {
      if (one->number() != next) co_return -1;
      ++next;
    }
    co_return next;
  };
  const auto results = co_await rill::when_all(send(), receive());
  co_await stream.finish();
  co_return std::get<1>(results);
}

}  // namespace rill_test
