// A server with as many calls as it may have refuses further ones, and serves again when one has ended.
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <string>

using namespace cq_test;

namespace {

rill::task<rill::status> say_status(rill::client& client) {
  Note note;
  const auto reply = co_await rill::as_result(client.call<&echo::Say>(note));
  co_return reply.ok() ? rill::status{} : reply.status();
}

}  // namespace

TEST_CASE("overload: calls beyond max_concurrent_calls are refused at once, and nothing else changes") {
  rill::event both_here;
  rill::event go;
  std::atomic<int> here{0};
  rill::server server{{.loops = 2, .max_concurrent_calls = 2}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Say>([&](Note note) -> rill::task<Note> {
    if (++here == 2) both_here.set();
    co_await go.wait();
    co_return note;
  });
  server.start();
  rill::runtime runtime{1};
  rill::client client{target_of(server)};
  run_on(runtime.next(), [](rill::client& to, rill::event& full, rill::event& release) -> rill::task<> {
    auto refused = [&]() -> rill::task<> {
      co_await full.wait();
      for (int i = 0; i < 100; ++i) {
        const rill::status ended = co_await say_status(to);
        CHECK(ended.error_code() == rill::status_code::RESOURCE_EXHAUSTED);
      }
      release.set();
    };
    const auto [first, second, none] = co_await rill::when_all(say_status(to), say_status(to), refused());
    CHECK(first.ok());
    CHECK(second.ok());
    // The server forgets a call shortly after its client has the answer.
    rill::status later;
    do {
      later = co_await say_status(to);
    } while (later.error_code() == rill::status_code::RESOURCE_EXHAUSTED);
    CHECK(later.ok());
  }(client, both_here, go));
}
