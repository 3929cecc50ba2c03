// An idle process that has a server, a client's connection and a context uses no CPU.
#include "support.hpp"

#include <asio/steady_timer.hpp>

#include <sys/resource.h>

#include <chrono>
#include <cstdint>

namespace {

using namespace std::chrono_literals;
using namespace rill_test;
using rill::task;

/// What the whole process has used so far.
std::chrono::microseconds cpu_time() {
  ::rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto of = [](const ::timeval& time) {
    return std::chrono::seconds{time.tv_sec} + std::chrono::microseconds{time.tv_usec};
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

}  // namespace

TEST_CASE("idle: a server, a client and a context that wait for each other use no CPU") {
  running_context context{2};
  rill::server server{rill::server_options{.loops = 2}};
  server.listen("127.0.0.1:0");
  server.handle<&Echo::Service::Chat>(rill::on(context.io(), chat));
  server.start();
  rill::client client{"127.0.0.1:" + std::to_string(server.port())};
  rill::channel<int> never{1};

  std::chrono::microseconds used{0};
  constexpr std::chrono::milliseconds interval = 1s;
  rill::spawn(context.io(), [&]() -> task<> {
    auto stream = client.call<&Echo::Service::Chat>();
    co_await stream.write(note("x"));
    CHECK(co_await stream.read());
    // Now an open stream, a handler that reads, a task that waits for a channel, and timers that are far away.
    const auto idle = [&]() -> task<> { co_await never.receive(); };
    const auto measure = [&]() -> task<> {
      asio::steady_timer timer{context.io(), interval};
      const auto before = cpu_time();
      co_await timer.async_wait(rill::use_task);
      used = cpu_time() - before;
      never.close();
    };
    co_await rill::with_timeout(1h, rill::when_all(idle(), measure()));
    co_await stream.writes_done();
    while (co_await stream.read()) {
    }
    co_await stream.finish();
  });
  context.finish();
  CHECK(used < interval / 20);
}
