// What blocks a loop is named while it does, and again when it is over.
#include "support.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace cq_test;
using namespace std::chrono_literals;

namespace {

/// What a server reported, and a wait for more of it.
class reports {
 public:
  void add(std::string_view path, std::string_view text) {
    const std::lock_guard held{mutex_};
    lines_.push_back(std::string{path} + ": " + std::string{text});
    more_.notify_all();
  }
  void wait_for(std::size_t number) {
    std::unique_lock held{mutex_};
    more_.wait(held, [&] { return lines_.size() >= number; });
  }
  std::vector<std::string> lines() {
    const std::lock_guard held{mutex_};
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable more_;
  std::vector<std::string> lines_;
};

rill::task<> say_once(rill::client& client) {
  Note note;
  static_cast<void>(co_await client.call<&echo::Say>(note));
}

/// Calls `Say` of a server whose handler is `handler`, and gives what was reported until the server stopped.
template <class Handler>
std::vector<std::string> run_server(reports& seen, std::chrono::nanoseconds threshold, Handler handler) {
  {
    rill::server server{{.loops = 1, .stall_threshold = threshold}};
    server.listen("127.0.0.1:0");
    server.on_error([&](std::string_view path, std::string_view text) { seen.add(path, text); });
    server.handle<&echo::Say>(handler);
    server.start();
    rill::client client{target_of(server), {.own_connection = true}};
    rill::sync_wait(say_once(client));
    server.shutdown(1h);
  }
  return seen.lines();
}

void check_stall(const std::vector<std::string>& lines, const std::string& name) {
  REQUIRE(lines.size() == 2);
  CAPTURE(lines[0]);
  CAPTURE(lines[1]);
  CHECK(lines[0].starts_with(name + ": has been blocking its loop for "));
  CHECK(lines[1].starts_with(name + ": blocked its loop for "));
  CHECK(lines[1].ends_with(" ms, and goes on"));
}

}  // namespace

TEST_CASE("stall: a handler that blocks its loop is named while it does, and when it is over") {
  reports seen;
  SUBCASE("at its start") {
    check_stall(run_server(seen, 20ms,
                           [&](Note note) -> rill::task<Note> {
                             seen.wait_for(1);  // blocks until the report is there
                             co_await rill::sleep_for(1ms);
                             seen.wait_for(2);
                             co_return note;
                           }),
                "/rill.test.v1.Echo/Say");
  }
  SUBCASE("after it was resumed, under a derived context and in a child") {
    check_stall(run_server(seen, 20ms,
                           [&](Note note) -> rill::task<Note> {
                             auto child = [&]() -> rill::task<> {
                               co_await rill::sleep_for(1ms);
                               seen.wait_for(1);
                               co_await rill::sleep_for(1ms);
                               seen.wait_for(2);
                             };
                             auto work = child();
                             co_await rill::with_timeout(1h, std::move(work));
                             co_return note;
                           }),
                "/rill.test.v1.Echo/Say");
  }
  SUBCASE("after it has yielded") {
    check_stall(run_server(seen, 20ms,
                           [&](Note note) -> rill::task<Note> {
                             co_await rill::yield();
                             seen.wait_for(1);
                             co_await rill::yield();
                             seen.wait_for(2);
                             co_return note;
                           }),
                "/rill.test.v1.Echo/Say");
  }
}

TEST_CASE("stall: a task without a name that blocks a server's loop is reported too") {
  reports seen;
  rill::server server{{.loops = 1, .stall_threshold = 20ms}};
  server.listen("127.0.0.1:0");
  server.on_error([&](std::string_view path, std::string_view text) { seen.add(path, text); });
  server.handle<&echo::Say>([&](Note note) -> rill::task<Note> {
    rill::scheduler& loop = *(co_await rill::this_context()).home;
    rill::spawn(loop, [&]() -> rill::task<> {
      seen.wait_for(1);
      co_return;
    });
    co_return note;
  });
  server.start();
  rill::client client{target_of(server), {.own_connection = true}};
  rill::sync_wait(say_once(client));
  seen.wait_for(2);
  check_stall(seen.lines(), "");
}

TEST_CASE("stall: a loop that waits is not reported, however long") {
  rill::event go;
  rill::runtime runtime{1};
  rill::spawn(runtime.loop(0), [&]() -> rill::task<> { co_await go.wait(); });
  rill::cq::loop_pulse blocked;
  blocked.begin("/blocked");
  reports seen;
  rill::cq::stall_watch watch;
  watch.add(runtime.loop(0).pulse());
  watch.add(blocked);
  watch.start(50ms, [&](const rill::cq::stall& one) { seen.add(one.task, one.over ? "over" : "on"); });
  seen.wait_for(1);  // both have been looked at for as long
  blocked.begin("/next");
  seen.wait_for(3);
  blocked.rest();
  seen.wait_for(4);
  watch.stop();
  CHECK(seen.lines() ==
        std::vector<std::string>{"/blocked: on", "/blocked: over", "/next: on", "/next: over"});
  go.set();
}

TEST_CASE("stall: nothing is reported when it is turned off") {
  reports seen;
  CHECK(run_server(seen, 0ns, [](Note note) -> rill::task<Note> {
          std::this_thread::sleep_for(50ms);
          co_return note;
        }).empty());
}

TEST_CASE("stall: the default threshold is on in builds with assertions, and off in others") {
#if defined(NDEBUG)
  CHECK(rill::server_options{}.stall_threshold == 0ns);
#else
  CHECK(rill::server_options{}.stall_threshold == 200ms);
#endif
}
