// spawn: tasks that nobody awaits, from any thread, and what becomes of their exceptions.
#include "rill/coro/spawn.hpp"

#include "rill/coro/yield.hpp"
#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace rill_test;
using rill::task;

TEST_CASE("a spawned task runs on its home, after spawn has returned") {
  jumping_loop loop;
  log events;
  rill::event gate;
  rill::spawn(loop, wait_and_log(gate, events, "task"));
  rill::spawn(loop, [&]() -> task<> {
    events.push_back("callable");
    CHECK((co_await rill::this_context()).home == &loop);
  });
  CHECK(events.empty());
  loop.turn();
  CHECK(events == log{"callable"});
  gate.set();
  loop.turn();
  CHECK(events == log{"callable", "task done", "~task"});
}

TEST_CASE("a callable lives until its task has ended") {
  jumping_loop loop;
  log events;
  rill::event gate;
  rill::spawn(loop, [&, captured = witness{events, "capture"}, owned = std::make_unique<int>(1)]() -> task<> {
    co_await gate.wait();
    events.push_back("still " + std::to_string(*owned));
  });
  loop.turn();
  gate.set();
  loop.turn();
  CHECK(events == log{"still 1", "~capture"});
}

TEST_CASE("a cancelled spawned task ends normally") {
  jumping_loop loop;
  log events;
  rill::event never;
  rill::cancellation_source source;
  rill::spawn(loop, wait_and_log(never, events, "task"), source.token());
  rill::spawn(loop, [&] { return wait_and_log(never, events, "callable"); }, source.token());
  loop.turn();
  source.cancel();
  loop.turn();
  CHECK(events == log{"task cancelled: cancelled", "~task", "callable cancelled: cancelled", "~callable"});
}

TEST_CASE("tasks spawned from other threads all run on the home") {
  jumping_loop loop;
  const int threads = 4;
  const int each = 2'000;
  int ran = 0;  // touched on the home only
  std::vector<std::thread> spawners;
  for (int t = 0; t < threads; ++t) {
    spawners.emplace_back([&] {
      for (int i = 0; i < each; ++i) {
        rill::spawn(loop, [&]() -> task<> {
          co_await rill::yield();
          ++ran;
        });
      }
    });
  }
  loop.run([&]() -> task<> {
    while (ran < threads * each) co_await rill::yield();
  }());
  for (std::thread& spawner : spawners) spawner.join();
  CHECK(ran == threads * each);
}

TEST_CASE("a home destroyed before or while its tasks run") {
  log events;
  rill::event never;
  {
    jumping_loop loop;
    rill::spawn(loop,
                [&, captured = witness{events, "capture"}] { return wait_and_log(never, events, "a"); });
    loop.turn();
    task<> not_started = wait_and_log(never, events, "b");
    rill::spawn(loop, std::move(not_started));
    rill::spawn(loop, [captured = witness{events, "unused"}] { return ready_nothing(); });
  }
  CHECK(events == log{"~unused", "~a", "~capture"});
}

/// Runs `act` in a process of its own; gives what it wrote to stderr, and how it ended.
template <class Act>
std::pair<std::string, int> in_child_process(Act act) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const ::pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    act();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string text;
  char buffer[256];
  for (::ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return {text, status};
}

TEST_CASE("an exception that leaves a spawned task is reported, and terminates the process") {
  const auto [text, status] = in_child_process([] {
    jumping_loop loop;
    rill::event open;
    open.set();
    rill::spawn(loop, fail_after(open, "nobody listens"));
    loop.turn();
  });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  CHECK(text.find("rill: an exception left a spawned task: nobody listens") != std::string::npos);
}

TEST_CASE("so is one that is not a std::exception") {
  const auto [text, status] = in_child_process([] {
    jumping_loop loop;
    rill::spawn(loop, []() -> task<> {
      co_await rill::yield();
      throw 5;
    });
    loop.turn();
  });
  CHECK(WIFSIGNALED(status));
  CHECK(text.find("rill: an exception left a spawned task\n") != std::string::npos);
}

}  // namespace
