// spawn: where a task on an executor runs, what keeps the context going, and what becomes of errors and of tasks that
// are suspended when their context is destroyed.
#include "rill/asio/spawn.hpp"

#include "rill/asio/use_task.hpp"
#include "rill/coro/channel.hpp"
#include "rill/coro/sleep.hpp"
#include "rill/coro/this_context.hpp"
#include "rill/coro/when_all.hpp"
#include "rill/coro/with_timeout.hpp"
#include "rill/coro/yield.hpp"
#include "support.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>
#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace rill_test;
using rill::task;

}  // namespace

TEST_CASE("spawn: a task resumes on its executor after every await") {
  asio::io_context io;
  rill::channel<int> numbers{1};
  const std::thread::id here = std::this_thread::get_id();
  bool done = false;
  rill::spawn(io, [&]() -> task<> {
    CHECK(std::this_thread::get_id() == here);
    std::thread sender{[&] { CHECK(numbers.try_send(1)); }};
    CHECK(co_await numbers.receive() == 1);
    sender.join();
    CHECK(std::this_thread::get_id() == here);
    co_await rill::yield();
    CHECK(std::this_thread::get_id() == here);
    co_await rill::sleep_for(1ms);
    CHECK(std::this_thread::get_id() == here);
    asio::steady_timer timer{io, 1ms};
    co_await timer.async_wait(rill::use_task);
    CHECK(std::this_thread::get_id() == here);
    done = true;
  });
  CHECK_FALSE(done);  // it starts on the executor, not inside spawn
  io.run();
  CHECK(done);
}

TEST_CASE("spawn: a task that waits for a channel keeps run() going, and its end lets run() return") {
  asio::io_context io;
  rill::channel<int> numbers{1};
  int got = 0;
  rill::spawn(io, [&]() -> task<> {
    while (std::optional<int> number = co_await numbers.receive()) got += *number;
  });
  io.poll();  // the task waits now
  CHECK_FALSE(io.stopped());
  std::thread sender{[&] {
    for (int i = 0; i < 100; ++i) {
      while (!numbers.try_send(1)) std::this_thread::yield();
    }
    numbers.close();
  }};
  io.run();
  CHECK(got == 100);
  CHECK(io.stopped());
  sender.join();
}

TEST_CASE("spawn: strands are honoured") {
  running_context context{3};
  auto strand = asio::make_strand(context.io());
  const bool erased = [] {
    bool yes = false;
    SUBCASE("as they are") {}
    SUBCASE("behind any_io_executor") { yes = true; }
    return yes;
  }();
  int shared = 0;  // guarded by the strand
  const int rounds = stress(300);
  const auto work = [&]() -> task<> {
    for (int i = 0; i < rounds; ++i) {
      CHECK(strand.running_in_this_thread());
      ++shared;
      co_await rill::yield();
    }
  };
  for (int i = 0; i < 4; ++i) {
    if (erased) {
      rill::spawn(asio::any_io_executor{strand}, work);
    } else {
      rill::spawn(strand, work);
    }
  }
  context.finish();
  CHECK(shared == 4 * rounds);
}

TEST_CASE("spawn: a task and its children run one at a time on a context with several threads") {
  int shared = 0;
  running_context context{3};
  const int rounds = stress(300);
  const auto child = [&]() -> task<> {
    for (int i = 0; i < rounds; ++i) {
      ++shared;
      co_await rill::yield();
      asio::steady_timer timer{context.io(), std::chrono::microseconds(i % 50)};
      co_await timer.async_wait(rill::use_task);
    }
  };
  rill::spawn(context.io(), [&]() -> task<> { co_await rill::when_all(child(), child(), child()); });
  context.finish();
  CHECK(shared == 3 * rounds);
}

TEST_CASE("spawn: on a thread pool") {
  asio::thread_pool pool{2};
  std::atomic<int> done{0};
  for (int i = 0; i < 10; ++i) {
    rill::spawn(pool, [&]() -> task<> {
      co_await rill::sleep_for(1ms);
      done.fetch_add(1);
    });
  }
  pool.wait();
  CHECK(done == 10);
}

TEST_CASE("spawn: an exception reaches the caller's handler, on the executor") {
  asio::io_context io;
  std::string what;
  rill::spawn(
      io,
      []() -> task<> {
        co_await rill::yield();
        throw std::runtime_error{"as expected"};
      },
      [&](const std::exception_ptr& error) {
        try {
          std::rethrow_exception(error);
        } catch (const std::runtime_error& failed) {
          what = failed.what();
        }
      });
  io.run();
  CHECK(what == "as expected");
}

TEST_CASE("spawn: an exception that nobody handles is reported and terminates") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const ::pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    std::signal(SIGABRT, SIG_DFL);
    asio::io_context io;
    rill::spawn(io, []() -> task<> {
      co_await rill::yield();
      throw std::runtime_error{"nobody wants me"};
    });
    io.run();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said;
  std::array<char, 256> part{};
  for (::ssize_t got = 0; (got = ::read(ends[0], part.data(), part.size())) > 0;) {
    said.append(part.data(), static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  CHECK(said.find("nobody wants me") != std::string::npos);
}

TEST_CASE("spawn: a tripped token ends the task, which is no error") {
  asio::io_context io;
  rill::cancellation_source stop;
  bool unwound = false;
  rill::spawn(
      io,
      [&]() -> task<> {
        try {
          co_await rill::sleep_for(1h);
        } catch (const rill::operation_cancelled&) {
          unwound = true;
          throw;
        }
      },
      stop.token());
  io.poll();
  std::thread canceller{[&] { stop.cancel(); }};
  io.run();  // returns although the timer had an hour to go
  canceller.join();
  CHECK(unwound);
}

TEST_CASE("spawn: timers fire in order, and a cancelled one neither fires nor keeps run() going") {
  asio::io_context io;
  std::vector<int> order;
  for (int i : {3, 1, 2}) {
    rill::spawn(io, [&order, i]() -> task<> {
      co_await rill::sleep_for(std::chrono::milliseconds(2 * i));
      order.push_back(i);
    });
  }
  rill::spawn(io, [&]() -> task<> {
    co_await rill::with_timeout(1h, rill::sleep_for(1ms));
    bool late = false;
    try {
      co_await rill::with_timeout(1ms, rill::sleep_for(1h));
    } catch (const rill::timeout_error&) {
      late = true;
    }
    CHECK(late);
    for (int i = 0; i < 100; ++i) co_await rill::with_timeout(std::chrono::hours(1 + i % 7), rill::yield());
  });
  const auto began = std::chrono::steady_clock::now();
  io.run();
  CHECK(order == std::vector{1, 2, 3});
  CHECK(std::chrono::steady_clock::now() - began < 30s);
}

namespace {

/// Tells when it is destroyed.
struct witness {
  explicit witness(std::atomic<int>& to) noexcept : count{to} {}
  witness(const witness&) = delete;
  ~witness() { count.fetch_add(1); }
  std::atomic<int>& count;
};

}  // namespace

TEST_CASE("spawn: a context that is destroyed frees the tasks that are suspended on it") {
  std::atomic<int> freed{0};
  rill::channel<int> never{1};
  rill::cancellation_source stop;
  {
    asio::io_context io;
    const auto wait = [&](int how) -> task<> {
      const witness w{freed};
      asio::steady_timer timer{io, 1h};
      if (how == 0) co_await never.receive();
      if (how == 1) co_await timer.async_wait(rill::use_task);
      if (how == 2) co_await rill::sleep_for(1h);
      if (how == 3) co_await rill::when_all(never.receive(), timer.async_wait(rill::use_task));
      if (how == 4) co_await rill::with_timeout(1h, timer.async_wait(rill::use_task));
    };
    for (int how = 0; how < 5; ++how) {
      rill::spawn(io, [&wait, how] { return wait(how); }, stop.token());
    }
    SUBCASE("after they have run") { io.poll(); }
    SUBCASE("before they have run") { freed = 5; }
    SUBCASE("after they were cancelled, before they could unwind") {
      io.poll();
      stop.cancel();
    }
    SUBCASE("with something on the way to them") {
      io.poll();
      CHECK(never.try_send(1));
    }
  }
  CHECK(freed == 5);
}

TEST_CASE("spawn: what others do to tasks while their context is destroyed is safe") {
  for (int round = 0; round < stress(100); ++round) {
    rill::channel<int> numbers{4};
    rill::cancellation_source stop;
    std::atomic<bool> over{false};
    auto context = std::make_unique<running_context>(2);
    for (int i = 0; i < 3; ++i) {
      rill::spawn(
          context->io(),
          [&]() -> task<> {
            while (co_await numbers.receive()) {
            }
          },
          stop.token());
    }
    std::thread sender{[&] {
      while (!over.load()) {
        if (!numbers.try_send(1)) std::this_thread::yield();
      }
    }};
    std::thread canceller{[&] {
      for (int i = 0; i < round * 7; ++i) std::this_thread::yield();
      if (round % 2 == 0) stop.cancel();
    }};
    context.reset();
    over = true;
    sender.join();
    canceller.join();
  }
}
