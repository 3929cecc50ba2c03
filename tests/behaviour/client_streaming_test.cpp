// Client streaming: the half-close and only it is the end, early answers, and the one response.
#include "behaviour/fixture.hpp"

#include <rill/coro/event.hpp>
#include <rill/rpc/encoded.hpp>

#include <atomic>

namespace {

using namespace behaviour;

rill::task<Summary> sum(rill::reader<Note>& in) {
  Summary summary;
  while (auto one = co_await in.read()) {
    summary.set_count(summary.count() + 1);
    summary.set_total(summary.total() + one->number());
  }
  co_return summary;
}
rill::task<rill::result<Summary>> sum_reusing(rill::server_context&, rill::reader<Note>& in) {
  Summary summary;
  Note one;
  while (co_await in.read(one)) {
    if (one.number() < 0) co_return rill::status{rill::status_code::INVALID_ARGUMENT, "negative"};
    summary.set_count(summary.count() + 1);
    summary.set_total(summary.total() + one.number());
  }
  co_return summary;
}

rill::task<> expect_sums(rill::method_caller client) {
  for (const std::int64_t count : {0, 1, 3, 1000}) {
    auto upload = client.call<&Echo::Service::Collect>();
    for (std::int64_t i = 0; i < count; ++i) {
      const bool accepted = co_await upload.write(note("", i));
      CHECK(accepted);
    }
    const Summary summary = co_await upload.finish();
    CHECK(summary.count() == count);
    CHECK(summary.total() == count * (count - 1) / 2);
  }
}

TEST_CASE("client streaming: messages one by one") {
  deployment d;
  d.methods.handle<&Echo::Service::Collect>(sum);
  d.run(expect_sums);
}

TEST_CASE("client streaming: into a message that is reused, with a result") {
  deployment d;
  d.methods.handle<&Echo::Service::Collect>(sum_reusing);
  d.run([](rill::method_caller client) -> rill::task<> {
    co_await expect_sums(client);
    auto upload = client.call<&Echo::Service::Collect>();
    co_await upload.write(note("", -1));
    const rill::result<Summary> refused = co_await rill::as_result(upload.finish());
    CHECK_FALSE(refused.ok());
    CHECK(refused.status().error_message() == "negative");
  });
}

TEST_CASE("client streaming: bytes that were serialised once, and large messages") {
  deployment d;
  d.methods.handle<&Echo::Service::Collect>([](rill::reader<Note>& in) -> rill::task<Summary> {
    Summary summary;
    while (auto one = co_await in.read()) {
      summary.set_count(summary.count() + 1);
      summary.set_total(summary.total() + static_cast<std::int64_t>(one->data().size()));
    }
    co_return summary;
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    Note chunk;
    chunk.set_data(std::string(100'000, 'x'));
    const rill::encoded<Note> bytes{chunk};
    auto upload = client.call<&Echo::Service::Collect>();
    for (int i = 0; i < 20; ++i) co_await upload.write(bytes);
    for (int i = 0; i < 20; ++i) co_await upload.write(chunk);
    const Summary summary = co_await upload.finish();
    CHECK(summary.count() == 40);
    CHECK(summary.total() == 4'000'000);
  });
}

TEST_CASE("client streaming: a server that answers early ends the writes with false") {
  deployment d;
  d.methods.handle<&Echo::Service::Collect>([](rill::reader<Note>& in) -> rill::task<Summary> {
    const auto first = co_await in.read();
    Summary summary;
    summary.set_text("enough");
    co_return summary;
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto upload = client.call<&Echo::Service::Collect>();
    bool accepted = true;
    while (accepted) accepted = co_await upload.write(note("more"));
    const Summary summary = co_await upload.finish();
    CHECK(summary.text() == "enough");
  });
}

TEST_CASE("client streaming: a server that refuses ends the writes with its status") {
  deployment d;
  d.methods.handle<&Echo::Service::Collect>([](rill::reader<Note>& in) -> rill::task<Summary> {
    const auto first = co_await in.read();
    throw rill::status_error{rill::status_code::PERMISSION_DENIED, "not you"};
  });
  d.run([](rill::method_caller client) -> rill::task<> {
    auto upload = client.call<&Echo::Service::Collect>();
    std::string seen;
    try {
      for (;;) co_await upload.write(note("more"));
    } catch (const rill::status_error& error) {
      seen = error.what();
    }
    CHECK(seen == "PERMISSION_DENIED: not you");
    const rill::result<Summary> ended = co_await rill::as_result(upload.finish());
    CHECK(ended.status().error_code() == rill::status_code::PERMISSION_DENIED);
  });
}

TEST_CASE("client streaming: a broken upload is not taken for its end") {
  rill::event began;
  rill::event broken;
  std::atomic<int> completed{0};
  deployment d;
  d.methods.handle<&Echo::Service::Collect>([&](rill::reader<Note>& in) -> rill::task<Summary> {
    try {
      while (auto one = co_await in.read()) began.set();
      ++completed;
    } catch (const rill::operation_cancelled&) {
      broken.set();
      throw;
    }
    co_return Summary{};
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    {
      auto upload = client.call<&Echo::Service::Collect>();
      co_await upload.write(note("a chunk"));
      co_await began.wait();
    }
    co_await broken.wait();
  });
  CHECK(completed == 0);
}

TEST_CASE("client streaming: a write after finish is refused") {
  deployment d;
  d.methods.handle<&Echo::Service::Collect>(sum);
  d.run([](rill::method_caller client) -> rill::task<> {
    auto upload = client.call<&Echo::Service::Collect>();
    const Summary summary = co_await upload.finish();
    CHECK(summary.count() == 0);
    bool refused = false;
    try {
      co_await upload.write(Note{});
    } catch (const rill::usage_error&) {
      refused = true;
    }
    CHECK(refused);
    CHECK_THROWS_AS(upload.try_write(Note{}), rill::usage_error);
  });
}

}  // namespace
