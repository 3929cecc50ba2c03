// Unary calls: every shape of handler, one request and one response, many at once.
#include "behaviour/fixture.hpp"

#include <rill/coro/event.hpp>
#include <rill/coro/when_all.hpp>
#include <rill/rpc/encoded.hpp>

#include <string>
#include <vector>

namespace {

using namespace behaviour;

rill::task<Note> by_value(Note request) {
  request.set_number(request.number() + 1);
  co_return request;
}
rill::task<Note> by_reference(const Note& request) { co_return note(request.text(), request.number() + 1); }
rill::task<Note> with_context(rill::server_context& context, const Note& request) {
  co_return note(std::string{context.method()} + request.text(), request.number() + 1);
}
rill::task<rill::result<Note>> with_result(Note request) {
  if (request.number() < 0) co_return rill::status{rill::status_code::OUT_OF_RANGE, "negative"};
  request.set_number(request.number() + 1);
  co_return request;
}
rill::task<rill::encoded<Note>> with_bytes(Note request) {
  request.set_number(request.number() + 1);
  co_return rill::encoded<Note>{request};
}

struct counter {
  rill::task<Note> next(Note request) {
    request.set_number(request.number() + step);
    co_return request;
  }
  rill::task<Note> fixed(rill::server_context&, const Note&) const { co_return note("", step); }
  std::int64_t step = 1;
};

rill::task<> expect_successor(rill::method_caller client) {
  const Note request = note("x", 41);
  const Note reply = co_await client.call<&Echo::Service::Say>(request);
  CHECK(reply.number() == 42);
}

TEST_CASE("unary: the request by value") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(by_value);
  d.run(expect_successor);
}

TEST_CASE("unary: the request by const reference") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(by_reference);
  d.run(expect_successor);
}

TEST_CASE("unary: with a context") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(with_context);
  d.run([](rill::method_caller client) -> rill::task<> {
    const Note reply = co_await client.call<&Echo::Service::Say>(note("!", 1));
    CHECK(reply.text() == "Say!");
    CHECK(reply.number() == 2);
  });
}

TEST_CASE("unary: a result, with a value and without") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(with_result);
  d.run([](rill::method_caller client) -> rill::task<> {
    co_await expect_successor(client);
    const rill::status ended = co_await status_of(client.call<&Echo::Service::Say>(note("", -1)));
    CHECK(ended.error_code() == rill::status_code::OUT_OF_RANGE);
    CHECK(ended.error_message() == "negative");
  });
}

TEST_CASE("unary: a response that was serialised before") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(with_bytes);
  d.run(expect_successor);
}

TEST_CASE("unary: a member function") {
  counter one;
  deployment d;
  d.methods.handle<&Echo::Service::Say>(one, &counter::next);
  d.run(expect_successor);
}

TEST_CASE("unary: a const member function with a context") {
  const counter answer{42};
  deployment d;
  d.methods.handle<&Echo::Service::Say>(answer, &counter::fixed);
  d.run(expect_successor);
}

TEST_CASE("unary: a lambda with captures") {
  counter one;
  deployment d;
  d.methods.handle<&Echo::Service::Say>([&one](Note request) -> rill::task<Note> {
    const Note next = co_await one.next(std::move(request));
    co_return next;
  });
  d.run(expect_successor);
}

TEST_CASE("unary: empty and large messages") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>([](Note request) -> rill::task<Note> { co_return request; });
  d.run([](rill::method_caller client) -> rill::task<> {
    const Note empty = co_await client.call<&Echo::Service::Say>(Note{});
    CHECK(empty.ByteSizeLong() == 0);
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{100}, std::size_t{70'000}, std::size_t{3'000'000}}) {
      Note large;
      large.set_data(std::string(size, 'x'));
      const Note same = co_await client.call<&Echo::Service::Say>(large);
      CHECK(same.data() == large.data());
    }
  });
}

TEST_CASE("unary: a request that was serialised before, and one that is moved in") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(by_value);
  d.run([](rill::method_caller client) -> rill::task<> {
    const rill::encoded<Note> bytes{note("", 1)};
    const Note first = co_await client.call<&Echo::Service::Say>(bytes);
    CHECK(first.number() == 2);
    auto call = client.call<&Echo::Service::Say>(note("", 2));
    const Note second = co_await call;
    CHECK(second.number() == 3);
  });
}

TEST_CASE("unary: as_result gives the status in place of the response") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(with_result);
  d.run([](rill::method_caller client) -> rill::task<> {
    const rill::result<Note> good = co_await rill::as_result(client.call<&Echo::Service::Say>(note("", 1)));
    REQUIRE(good.ok());
    CHECK(good->number() == 2);
    auto call = client.call<&Echo::Service::Say>(note("", -1));
    const rill::result<Note> bad = co_await rill::as_result(call);
    CHECK_FALSE(bad.ok());
    CHECK(bad.status().error_code() == rill::status_code::OUT_OF_RANGE);
    CHECK_THROWS_AS(static_cast<void>(bad.value()), rill::status_error);
  });
}

TEST_CASE("unary: a call is awaited once") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(by_value);
  d.run([](rill::method_caller client) -> rill::task<> {
    auto call = client.call<&Echo::Service::Say>(Note{});
    CHECK_THROWS_AS(static_cast<void>(call.initial_metadata()), rill::usage_error);
    const Note reply = co_await call;
    bool refused = false;
    try {
      const Note again = co_await call;
    } catch (const rill::usage_error&) {
      refused = true;
    }
    CHECK(refused);
  });
}

rill::task<> many_calls(rill::method_caller client, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const Note request = note("", i);
    const Note reply = co_await client.call<&Echo::Service::Say>(request);
    CHECK(reply.number() == i + 1);
  }
}

TEST_CASE("unary: one after the other, and at once") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(by_value);
  d.run([](rill::method_caller client) -> rill::task<> {
    co_await many_calls(client, 200);
    std::vector<rill::task<>> crowd;
    for (int i = 0; i < 100; ++i) crowd.push_back(many_calls(client, 10));
    co_await rill::when_all(std::move(crowd));
  });
}

TEST_CASE("unary: a handler that calls its own server") {
  std::optional<rill::method_caller> itself;
  rill::event connected;  // `itself` is there
  deployment d;
  d.methods.handle<&Echo::Service::Say>([&](Note request) -> rill::task<Note> {
    if (request.number() == 0) co_return note("bottom");
    co_await connected.wait();
    const Note deeper = co_await itself->call<&Echo::Service::Say>(note("", request.number() - 1));
    co_return note(deeper.text(), deeper.number() + 1);
  });
  itself = d.client();
  connected.set();
  d.run([](rill::method_caller client) -> rill::task<> {
    const Note reply = co_await client.call<&Echo::Service::Say>(note("", 10));
    CHECK(reply.text() == "bottom");
    CHECK(reply.number() == 10);
  });
  d.stop(0s);  // before what its handler uses goes
  itself.reset();
}

TEST_CASE("unary: two servers in one process, one calling the other") {
  deployment back;
  back.methods.handle<&Echo::Service::Say>(by_value);
  deployment front{back};
  const rill::method_caller backend = back.client();
  front.methods.handle<&Echo::Service::Say>([&](Note request) -> rill::task<Note> {
    const Note reply = co_await backend.call<&Echo::Service::Say>(request);
    co_return note("front", reply.number());
  });
  front.run([](rill::method_caller client) -> rill::task<> {
    const Note reply = co_await client.call<&Echo::Service::Say>(note("", 1));
    CHECK(reply.text() == "front");
    CHECK(reply.number() == 2);
  });
}

}  // namespace
