// Metadata, both ways, before and after the messages; and what a handler knows of its call.
#include "behaviour/fixture.hpp"

#include <rill/coro/event.hpp>
#include <rill/coro/with_value.hpp>

namespace {

using namespace behaviour;

TEST_CASE("metadata: what the client sends") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>([](rill::server_context& context, Note request) -> rill::task<Note> {
    const rill::metadata& got = context.request_metadata();
    CHECK(got.get("plain") == "one");
    CHECK(got.get_all("twice").size() == 2);
    CHECK(got.get("raw-bin") == std::string_view{"\0\x80\xff", 3});
    CHECK_FALSE(got.contains("absent"));
    CHECK(context.path() == "/rill.test.v1.Echo/Say");
    CHECK(context.method() == "Say");
    CHECK_FALSE(context.peer().empty());
    CHECK_FALSE(context.identity().authenticated);
    CHECK_FALSE(context.is_cancelled());
    co_return request;
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    const rill::metadata sent{
        {"plain", "one"}, {"Twice", "a"}, {"twice", "b"}, {"raw-bin", std::string_view{"\0\x80\xff", 3}}};
    const Note reply = co_await client.call<&Echo::Service::Say>(Note{}, {.metadata = &sent});
  });
}

TEST_CASE("metadata: what a unary call's server sends") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>([](rill::server_context& context, Note request) -> rill::task<Note> {
    context.initial_metadata().add("before", "1");
    context.trailing_metadata().add("after", "2");
    context.trailing_metadata().add("after-bin", std::string_view{"\0\1", 2});
    co_return request;
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto call = client.call<&Echo::Service::Say>(Note{});
    const Note reply = co_await call;
    CHECK(call.initial_metadata().get("before") == "1");
    CHECK(call.trailing_metadata().get("after") == "2");
    CHECK(call.trailing_metadata().get("after-bin") == std::string_view{"\0\1", 2});
    CHECK_FALSE(call.initial_metadata().contains("after"));
    CHECK_FALSE(call.peer().empty());
  });
}

TEST_CASE("metadata: a stream's headers come before its first message when they are sent early") {
  rill::event seen;
  deployment d;
  d.methods.handle<&Echo::Service::Chat>(
      [&](rill::server_context& context, rill::reader<Note>&, rill::writer<Note>& out) -> rill::task<> {
        context.initial_metadata().add("early", "yes");
        co_await context.send_initial_metadata();
        co_await seen.wait();
        co_await out.write(note("late"));
        context.trailing_metadata().add("end", "done");
      });
  d.run([&](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>();
    const rill::metadata& headers = co_await chat.initial_metadata();
    CHECK(headers.get("early") == "yes");
    CHECK(chat.trailing_metadata().empty());
    seen.set();
    const auto one = co_await chat.read();
    CHECK(one.value().text() == "late");
    co_await chat.finish();
    CHECK(chat.trailing_metadata().get("end") == "done");
  });
}

TEST_CASE("metadata: a stream's options are copied when the call is described") {
  deployment d;
  d.methods.handle<&Echo::Service::Expand>(
      [](rill::server_context& context, const Note&) -> rill::async_generator<Note> {
        co_yield note(context.request_metadata().get("key").value_or("none"));
      });
  d.run([](rill::method_caller client) -> rill::task<> {
    const auto open = [&client] {
      const rill::metadata brief{{"key", "kept"}};
      return client.call<&Echo::Service::Expand>(Note{}, {.metadata = &brief});
    };
    auto notes = open();
    const auto one = co_await notes.read();
    CHECK(one.value().text() == "kept");
    co_await notes.finish();
  });
}

struct identity {
  std::string name;
};

rill::task<std::string> who() {
  const identity* found = co_await rill::context_value<identity>();
  co_return found != nullptr ? found->name : "nobody";
}

TEST_CASE("metadata: values attached to the call flow into the tasks under its handler") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>([](rill::server_context& context, Note request) -> rill::task<Note> {
    CHECK(context.get<identity>() == nullptr);
    const std::string before = co_await who();
    CHECK(before == "nobody");
    context.set(identity{"ann"});
    context.set(7);
    CHECK(context.get<identity>()->name == "ann");
    CHECK(*context.get<int>() == 7);
    const std::string after = co_await who();
    CHECK(after == "ann");
    context.set(identity{"bob"});
    const std::string last = co_await who();
    CHECK(last == "bob");
    co_return request;
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    const Note reply = co_await client.call<&Echo::Service::Say>(Note{});
  });
}

TEST_CASE("metadata: compressed calls") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>([](rill::server_context& context, Note request) -> rill::task<Note> {
    context.set_compression(rill::compression::gzip);
    co_return request;
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    Note large;
    large.set_data(std::string(100'000, 'z'));
    const Note same =
        co_await client.call<&Echo::Service::Say>(large, {.compression = rill::compression::gzip});
    CHECK(same.data() == large.data());
  });
}

}  // namespace
