// How calls fail: what a handler throws, methods nobody handles, messages that are none, wrong use.
#include "behaviour/fixture.hpp"

#include <rill/coro/event.hpp>

#include <atomic>
#include <mutex>
#include <stdexcept>
#include <vector>

template <>
struct rill::method_path<&rill::test::v1::Odd::Service::Careless> {
  const std::string& operator()() const { return method<&test::v1::Odd::Service::Careful>::path(); }
};
template <>
struct rill::method_path<&rill::test::v1::Odd::Service::CarelessStream> {
  const std::string& operator()() const { return method<&test::v1::Odd::Service::CarefulStream>::path(); }
};
template <>
struct rill::method_path<&rill::test::v1::Odd::Service::Misread> {
  const std::string& operator()() const { return method<&test::v1::Echo::Service::Say>::path(); }
};
template <>
struct rill::method_path<&rill::test::v1::Odd::Service::MisreadStream> {
  const std::string& operator()() const { return method<&test::v1::Echo::Service::Chat>::path(); }
};

namespace {

using namespace behaviour;

/// What handlers told the log hook.
class error_log {
 public:
  void watch(rill::method_table& methods) {
    methods.on_error([this](std::string_view path, std::string_view text) {
      const std::lock_guard held{mutex_};
      lines_.push_back(std::string{path} + ": " + std::string{text});
    });
  }
  [[nodiscard]] std::vector<std::string> lines() const {
    const std::lock_guard held{mutex_};
    return lines_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

rill::task<Note> fail(Note request) {
  switch (request.number()) {
    case 1:
      throw rill::status_error{rill::status_code::NOT_FOUND, "no such note", "details"};
    case 2:
      throw rill::operation_cancelled{};
    case 3:
      throw rill::operation_cancelled{rill::cancel_reason::deadline};
    case 4:
      throw rill::timeout_error{};
    case 5:
      throw std::runtime_error{"the database password is 1234"};
    case 6:
      throw 42;
    case 7:
      throw rill::status_error{rill::status{}};
    default:
      co_return request;
  }
}

rill::task<> expect_good_calls(rill::method_caller client) {
  for (int i = 0; i < 100; ++i) {
    const Note reply = co_await client.call<&Echo::Service::Say>(note("good"));
    CHECK(reply.text() == "good");
  }
}

TEST_CASE("errors: what a handler throws is the call's status, and the method keeps serving") {
  error_log log;
  deployment d;
  log.watch(d.methods);
  d.methods.handle<&Echo::Service::Say>(fail);
  d.run([](rill::method_caller client) -> rill::task<> {
    using code = rill::status_code;
    const struct {
      std::int64_t number;
      code expected;
      std::string_view message;
    } cases[] = {{1, code::NOT_FOUND, "no such note"},
                 {2, code::CANCELLED, "cancelled"},
                 {3, code::DEADLINE_EXCEEDED, "the deadline passed"},
                 {4, code::DEADLINE_EXCEEDED, "timed out"},
                 {5, code::INTERNAL, "internal error"},
                 {6, code::INTERNAL, "internal error"},
                 {7, code::INTERNAL, "internal error"}};
    for (const auto& one : cases) {
      const rill::status ended = co_await status_of(client.call<&Echo::Service::Say>(note("", one.number)));
      CHECK(ended.error_code() == one.expected);
      CHECK(ended.error_message() == one.message);
      co_await expect_good_calls(client);
    }
  });
  d.stop(0s);
  const std::vector<std::string> lines = log.lines();
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == "/rill.test.v1.Echo/Say: the database password is 1234");
  CHECK(lines[1] == "/rill.test.v1.Echo/Say: an exception that is not a std::exception");
  CHECK(lines[2] == "/rill.test.v1.Echo/Say: a status_error whose status is OK");
}

TEST_CASE("errors: a status travels with its details and trailing metadata") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>([](rill::server_context& context, Note) -> rill::task<Note> {
    context.trailing_metadata().add("from-context", "1");
    throw rill::status_error{rill::status{rill::status_code::DATA_LOSS, "gone", "the details"},
                             rill::metadata{{"from-error", "2"}, {"raw-bin", std::string_view{"\0\xff", 2}}}};
    co_return Note{};
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    std::optional<rill::status_error> seen;
    try {
      const Note none = co_await client.call<&Echo::Service::Say>(Note{});
    } catch (const rill::status_error& error) {
      seen = error;
    }
    REQUIRE(seen.has_value());
    CHECK(seen->code() == rill::status_code::DATA_LOSS);
    CHECK(seen->message() == "gone");
    CHECK(std::string_view{seen->what()} == "DATA_LOSS: gone");
    CHECK(seen->status().error_details() == "the details");
    CHECK(seen->trailing_metadata().get("from-context") == "1");
    CHECK(seen->trailing_metadata().get("from-error") == "2");
    CHECK(seen->trailing_metadata().get("raw-bin") == std::string_view{"\0\xff", 2});
  });
}

TEST_CASE("errors: a stream's accepted messages arrive before its status_error") {
  deployment d;
  d.methods.handle<&Echo::Service::Expand>([](Note request, rill::writer<Note>& out) -> rill::task<> {
    for (std::int64_t i = 0; i < request.number(); ++i) co_await out.write(note("", i));
    throw rill::status_error{rill::status_code::ABORTED, "midway"};
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto notes = client.call<&Echo::Service::Expand>(note("", 100));
    int seen = 0;
    rill::status_code code = rill::status_code::OK;
    try {
      while (auto one = co_await notes.read()) ++seen;
    } catch (const rill::status_error& error) {
      code = error.code();
    }
    CHECK(seen == 100);
    CHECK(code == rill::status_code::ABORTED);
  });
}

TEST_CASE("errors: a stream whose handler was cancelled drops what is queued") {
  rill::event thrown;
  std::atomic<int> accepted{0};
  deployment d{{.queue = {.messages = 8}, .window = 65'536}};
  d.methods.handle<&Echo::Service::Expand>([&](const Note&, rill::writer<Note>& out) -> rill::task<> {
    Note chunk;
    chunk.set_data(std::string(16'384, 'x'));
    for (int i = 0; i < 100; ++i) {  // more than the window, so that the queue is full for good
      if (!out.try_write(chunk)) break;
      ++accepted;
    }
    thrown.set();
    throw rill::operation_cancelled{};
    co_return;
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    auto notes = client.call<&Echo::Service::Expand>(Note{});
    co_await notes.initial_metadata();
    co_await thrown.wait();
    int seen = 0;
    rill::status_code code = rill::status_code::OK;
    try {
      while (auto one = co_await notes.read()) ++seen;
    } catch (const rill::status_error& error) {
      code = error.code();
    }
    CHECK(code == rill::status_code::CANCELLED);
    CHECK(accepted < 100);
    CHECK(seen < accepted);
  });
}

TEST_CASE("errors: every kind of handler that throws") {
  error_log log;
  deployment d;
  log.watch(d.methods);
  d.methods.handle<&Echo::Service::Expand>([](const Note&) -> rill::async_generator<Note> {
    co_yield Note{};
    throw std::runtime_error{"down"};
  });
  d.methods.handle<&Echo::Service::Collect>([](rill::reader<Note>&) -> rill::task<Summary> {
    throw std::runtime_error{"up"};
    co_return Summary{};
  });
  d.methods.handle<&Echo::Service::Chat>([](rill::reader<Note>&, rill::writer<Note>&) -> rill::task<> {
    throw std::runtime_error{"both"};
    co_return;
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto down = client.call<&Echo::Service::Expand>(Note{});
    const rill::status first = co_await status_of(down.finish());
    CHECK(first.error_code() == rill::status_code::INTERNAL);
    auto up = client.call<&Echo::Service::Collect>();
    const rill::status second = co_await status_of(up.finish());
    CHECK(second.error_code() == rill::status_code::INTERNAL);
    auto both = client.call<&Echo::Service::Chat>();
    const rill::status third = co_await status_of(both.finish());
    CHECK(third.error_code() == rill::status_code::INTERNAL);
  });
  d.stop(0s);
  CHECK(log.lines().size() == 3);
}

TEST_CASE("errors: a method that nobody handles answers UNIMPLEMENTED at once") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(fail);
  d.run([](rill::method_caller client) -> rill::task<> {
    using code = rill::status_code;
    const rill::status unary = co_await status_of(client.call<&Odd::Service::Unhandled>(Note{}));
    CHECK(unary.error_code() == code::UNIMPLEMENTED);
    auto down = client.call<&Odd::Service::UnhandledDown>(Note{});
    const rill::status downward = co_await status_of(down.read());
    CHECK(downward.error_code() == code::UNIMPLEMENTED);
    auto up = client.call<&Odd::Service::UnhandledUp>();
    const rill::status upward = co_await status_of(up.finish());
    CHECK(upward.error_code() == code::UNIMPLEMENTED);
    auto both = client.call<&Odd::Service::UnhandledBoth>();
    const rill::status bidi = co_await status_of(both.read());
    CHECK(bidi.error_code() == code::UNIMPLEMENTED);
    const Note other = co_await client.call<&Echo::Service::Say>(Note{});
    CHECK(other.number() == 0);
  });
}

Note unparsable_as_strict() {
  Note odd;
  odd.set_data("\xff\xff\xff");
  return odd;
}

TEST_CASE("errors: a request that cannot be parsed ends the call with INTERNAL, without its handler") {
  std::atomic<int> calls{0};
  deployment d;
  d.methods.handle<&Odd::Service::Careful>([&](const Strict&) -> rill::task<Note> {
    ++calls;
    co_return note("parsed");
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    const rill::status bad = co_await status_of(client.call<&Odd::Service::Careless>(unparsable_as_strict()));
    CHECK(bad.error_code() == rill::status_code::INTERNAL);
    CHECK(bad.error_message() == "the request could not be parsed");
    const Note good = co_await client.call<&Odd::Service::Careless>(Note{});
    CHECK(good.text() == "parsed");
  });
  CHECK(calls == 1);
}

TEST_CASE(
    "errors: a streamed request that cannot be parsed ends the call with INTERNAL, even if the handler goes "
    "on") {
  deployment d;
  d.methods.handle<&Odd::Service::CarefulStream>(
      [](rill::reader<Strict>& in, rill::writer<Note>& out) -> rill::task<> {
        try {
          while (auto one = co_await in.read()) co_await out.write(note("parsed"));
        } catch (const rill::status_error&) {
          co_return;
        }
      });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto calls = client.call<&Odd::Service::CarelessStream>();
    co_await calls.write(Note{});
    co_await calls.write(unparsable_as_strict());
    const auto first = co_await calls.read();
    CHECK(first.value().text() == "parsed");
    const rill::status ended = co_await status_of(calls.read());
    CHECK(ended.error_code() == rill::status_code::INTERNAL);
  });
}

TEST_CASE("errors: a response that cannot be parsed is INTERNAL on the client") {
  deployment d;
  d.methods.handle<&Echo::Service::Say>(
      [](const Note&) -> rill::task<Note> { co_return unparsable_as_strict(); });
  d.methods.handle<&Echo::Service::Chat>([](rill::reader<Note>&, rill::writer<Note>& out) -> rill::task<> {
    co_await out.write(Note{});
    co_await out.write(unparsable_as_strict());
    co_await out.write(Note{});
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    const rill::status unary = co_await status_of(client.call<&Odd::Service::Misread>(Note{}));
    CHECK(unary.error_code() == rill::status_code::INTERNAL);
    CHECK(unary.error_message() == "the response could not be parsed");

    auto stream = client.call<&Odd::Service::MisreadStream>();
    const auto good = co_await stream.read();
    CHECK(good.has_value());
    const rill::status bad = co_await status_of(stream.read());
    CHECK(bad.error_code() == rill::status_code::INTERNAL);
    const rill::status ended = co_await status_of(stream.finish());
    CHECK(ended.error_code() == rill::status_code::INTERNAL);
  });
}

TEST_CASE("errors: a method has one handler") {
  rill::method_table methods;
  methods.handle<&Echo::Service::Say>(fail);
  CHECK_THROWS_AS(methods.handle<&Echo::Service::Say>(fail), std::logic_error);
  CHECK(methods.entries().size() == 1);
}

TEST_CASE("errors: a client needs a connector") {
  CHECK_THROWS_AS(rill::method_caller{nullptr}, rill::usage_error);
}

}  // namespace
