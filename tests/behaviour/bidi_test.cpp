// Bidirectional streaming: reading and writing are independent, on both sides and from different tasks.
#include "behaviour/fixture.hpp"

#include <rill/coro/event.hpp>
#include <rill/coro/when_all.hpp>

#include <stdexcept>
#include <vector>

namespace {

using namespace behaviour;

rill::task<> echo(rill::reader<Note>& in, rill::writer<Note>& out) {
  while (auto one = co_await in.read()) co_await out.write(std::move(*one));
}
rill::task<rill::result<void>> echo_in_context(rill::server_context&, rill::reader<Note>& in,
                                               rill::writer<Note>& out) {
  Note one;
  while (co_await in.read(one)) co_await out.write(one);
  co_return rill::status{};
}
rill::async_generator<Note> echo_as_generator(rill::reader<Note>& in) {
  while (auto one = co_await in.read()) co_yield std::move(*one);
}
rill::async_generator<Note> echo_as_generator_in_context(rill::server_context&, rill::reader<Note>& in) {
  while (auto one = co_await in.read()) co_yield *one;
}

using chat_stream = rill::bidi_stream<Note, Note>;

rill::task<> send(chat_stream& chat, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) co_await chat.write(note("", i));
  co_await chat.writes_done();
}
rill::task<> receive(chat_stream& chat, std::int64_t count) {
  std::int64_t next = 0;
  while (auto got = co_await chat.read()) CHECK(got->number() == next++);
  CHECK(next == count);
}

rill::task<> expect_echo(rill::method_caller client) {
  auto lockstep = client.call<&Echo::Service::Chat>();
  for (std::int64_t i = 0; i < 100; ++i) {
    co_await lockstep.write(note("", i));
    const auto same = co_await lockstep.read();
    REQUIRE(same.has_value());
    CHECK(same->number() == i);
  }
  co_await lockstep.finish();

  auto chat = client.call<&Echo::Service::Chat>();
  co_await rill::when_all(send(chat, 2000), receive(chat, 2000));
  co_await chat.finish();
}

TEST_CASE("bidi: a reader and a writer") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>(echo);
  d.run(expect_echo);
}

TEST_CASE("bidi: with a context and a result") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>(echo_in_context);
  d.run(expect_echo);
}

TEST_CASE("bidi: a generator") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>(echo_as_generator);
  d.run(expect_echo);
}

TEST_CASE("bidi: a generator with a context") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>(echo_as_generator_in_context);
  d.run(expect_echo);
}

TEST_CASE("bidi: the server speaks first") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>([](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
    co_await out.write(note("welcome"));
    co_await echo(in, out);
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>();
    const auto welcome = co_await chat.read();
    REQUIRE(welcome.has_value());
    CHECK(welcome->text() == "welcome");
    co_await chat.finish();
  });
}

TEST_CASE("bidi: the server goes on after the client's half-close") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>([](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
    std::int64_t count = 0;
    while (auto one = co_await in.read()) ++count;
    for (std::int64_t i = 0; i < count; ++i) co_await out.write(note("", i));
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>();
    co_await send(chat, 300);
    co_await receive(chat, 300);
    co_await chat.writes_done();  // twice is no harm
    co_await chat.finish();
  });
}

TEST_CASE("bidi: the server ends first") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>(
      [](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<grpc::Status> {
        auto one = co_await in.read();
        co_await out.write(std::move(*one));
        co_return grpc::Status{grpc::StatusCode::RESOURCE_EXHAUSTED, "one only"};
      });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>();
    co_await chat.write(note("first"));
    const auto first = co_await chat.read();
    CHECK(first.has_value());
    rill::status_code code = rill::status_code::OK;
    try {
      for (;;) co_await chat.write(note("more"));
    } catch (const rill::status_error& error) {
      code = error.code();
    }
    CHECK(code == rill::status_code::RESOURCE_EXHAUSTED);
    const rill::status ended = co_await status_of(chat.finish());
    CHECK(ended.error_message() == "one only");
  });
}

rill::task<bool> second_read_is_refused(rill::reader<Note>& in) {
  bool refused = false;
  try {
    static_cast<void>(co_await in.read());
  } catch (const std::logic_error&) {
    refused = true;
  }
  co_return refused;
}

TEST_CASE("bidi: the second of two reads at once is refused, and the stream goes on") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>([](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
    const auto first = [](rill::reader<Note>& from) -> rill::task<std::string> {
      const auto got = co_await from.read();
      co_return got.value().text();
    };
    // The first read waits, because the client only writes once it has been told of the second.
    const auto second = [](rill::reader<Note>& from, rill::writer<Note>& to) -> rill::task<> {
      const bool refused = co_await second_read_is_refused(from);
      co_await to.write(note(refused ? "refused" : "read"));
    };
    const auto [text, nothing] = co_await rill::when_all(first(in), second(in, out));
    co_await out.write(note(text));
    co_await echo(in, out);
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>();
    const auto told = co_await chat.read();
    REQUIRE(told.has_value());
    CHECK(told->text() == "refused");
    co_await chat.write(note("one"));
    const auto one = co_await chat.read();
    CHECK(one.value().text() == "one");
    co_await chat.write(note("two"));
    const auto two = co_await chat.read();
    CHECK(two.value().text() == "two");

    const auto waiting = [](chat_stream& of) -> rill::task<> {
      const auto three = co_await of.read();
      CHECK(three.value().text() == "three");
    };
    const auto refused = [](chat_stream& of) -> rill::task<> {
      bool threw = false;
      try {
        static_cast<void>(co_await of.read());
      } catch (const std::logic_error&) {
        threw = true;
      }
      CHECK(threw);
      co_await of.write(note("three"));
    };
    co_await rill::when_all(waiting(chat), refused(chat));
    co_await chat.finish();
  });
}

TEST_CASE("bidi: several writers at once, on both sides") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>([](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
    const auto burst = [](rill::writer<Note>& to, const char* who) -> rill::task<> {
      for (std::int64_t i = 0; i < 300; ++i) co_await to.write(note(who, i));
    };
    const auto drain = [](rill::reader<Note>& from) -> rill::task<> {
      int seen = 0;
      while (auto one = co_await from.read()) ++seen;
      CHECK(seen == 600);
    };
    co_await rill::when_all(burst(out, "a"), burst(out, "b"), drain(in));
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>();
    const auto burst = [](chat_stream& to) -> rill::task<> {
      for (std::int64_t i = 0; i < 300; ++i) co_await to.write(note("", i));
    };
    const auto both = [&burst](chat_stream& to) -> rill::task<> {
      co_await rill::when_all(burst(to), burst(to));
      co_await to.writes_done();
    };
    const auto drain = [](chat_stream& from) -> rill::task<> {
      std::int64_t next_a = 0;
      std::int64_t next_b = 0;
      while (auto one = co_await from.read())
        CHECK(one->number() == (one->text() == "a" ? next_a++ : next_b++));
      CHECK(next_a == 300);
      CHECK(next_b == 300);
    };
    co_await rill::when_all(both(chat), drain(chat));
    co_await chat.finish();
  });
}

TEST_CASE("bidi: many streams at once") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>(echo);
  d.run([](rill::method_caller client) -> rill::task<> {
    std::vector<chat_stream> chats;
    for (int i = 0; i < 100; ++i) chats.push_back(client.call<&Echo::Service::Chat>());
    for (std::int64_t round = 0; round < 5; ++round) {
      for (auto& chat : chats) co_await chat.write(note("", round));
      for (auto& chat : chats) {
        const auto got = co_await chat.read();
        CHECK(got.value().number() == round);
      }
    }
    for (auto& chat : chats) co_await chat.finish();
  });
}

TEST_CASE("bidi: a stream may move while a task waits on it") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>(echo);
  d.run([](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>();
    const auto wait = [](chat_stream& of) -> rill::task<> {
      const auto got = co_await of.read();
      CHECK(got.value().text() == "moved");
    };
    const auto move = [](chat_stream& from) -> rill::task<> {
      chat_stream elsewhere{std::move(from)};
      co_await elsewhere.write(note("moved"));
      from = std::move(elsewhere);
    };
    co_await rill::when_all(wait(chat), move(chat));
    co_await chat.finish();
    chat_stream taken{std::move(chat)};
    CHECK_THROWS_AS(static_cast<void>(chat.read()), rill::usage_error);
  });
}

}  // namespace
