// async_run: a rill task as an Asio operation: completion tokens, associated executor, allocator and cancellation slot.
// GCC 12 says this of Asio's own use_future when it optimises.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "rill/asio/async_run.hpp"

#include "rill/asio/use_task.hpp"
#include "rill/coro/channel.hpp"
#include "rill/coro/sleep.hpp"
#include "rill/coro/with_timeout.hpp"
#include "rill/coro/yield.hpp"
#include "support.hpp"

#include <asio/awaitable.hpp>
#include <asio/bind_allocator.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace {

using namespace std::chrono_literals;
using namespace rill_test;
using rill::task;

task<int> answer() {
  co_await rill::yield();
  co_return 42;
}
task<int> failing() {
  co_await rill::yield();
  throw std::runtime_error{"as expected"};
}
task<> wait_long(bool& unwound) {
  try {
    co_await rill::sleep_for(1h);
  } catch (const rill::operation_cancelled&) {
    unwound = true;
    throw;
  }
}

std::error_code code_of(const std::exception_ptr& error) {
  if (!error) return {};
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& failed) {
    return failed.code();
  } catch (...) {
    return std::make_error_code(std::errc::invalid_argument);
  }
}

}  // namespace

TEST_CASE("async_run: a callback") {
  asio::io_context io;
  int got = 0;
  bool ended = false;
  rill::async_run(io, answer(), [&](const std::exception_ptr& error, int value) {
    CHECK_FALSE(error);
    got = value;
  });
  rill::async_run(
      io, []() -> task<> { co_return; }(),
      [&](const std::exception_ptr& error) {
        CHECK_FALSE(error);
        ended = true;
      });
  CHECK(got == 0);  // never inside the call
  CHECK_FALSE(ended);
  io.run();
  CHECK(got == 42);
  CHECK(ended);
}

TEST_CASE("async_run: exceptions cross") {
  asio::io_context io;
  std::string what;
  rill::async_run(io, failing(), [&](const std::exception_ptr& error, int) {
    try {
      std::rethrow_exception(error);
    } catch (const std::runtime_error& failed) {
      what = failed.what();
    }
  });
  io.run();
  CHECK(what == "as expected");
}

TEST_CASE("async_run: use_awaitable, and awaiting either way round") {
  asio::io_context io;
  bool done = false;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        const int value = co_await rill::async_run(io, answer(), asio::use_awaitable);
        CHECK(value == 42);
        std::string what;
        try {
          co_await rill::async_run(io, failing(), asio::use_awaitable);
        } catch (const std::runtime_error& failed) {
          what = failed.what();
        }
        CHECK(what == "as expected");
        const auto back = [&]() -> task<int> {
          const auto inner = [&]() -> asio::awaitable<int> {
            co_return co_await rill::async_run(io, answer(), asio::use_awaitable);
          };
          co_return co_await asio::co_spawn(io, inner(), rill::use_task);
        };
        const int twice = co_await rill::async_run(io, back(), asio::use_awaitable);
        CHECK(twice == 42);
        done = true;
      },
      asio::detached);
  io.run();
  CHECK(done);
}

TEST_CASE("async_run: use_future, deferred, detached, and values that only move") {
  running_context context;
  std::future<int> future = rill::async_run(context.io(), answer(), asio::use_future);
  CHECK(future.get() == 42);
  rill::channel<bool> ran{1};
  std::future<int> failed = rill::async_run(context.io(), failing(), asio::use_future);
  const auto mark = [&]() -> task<> { CHECK(co_await ran.send(true)); };
  auto later = rill::async_run(context.io(), mark(), rill::asio_names::deferred);
  CHECK_FALSE(ran.try_receive());
  std::promise<void> ended;
  std::move(later)([&](const std::exception_ptr&) { ended.set_value(); });
  ended.get_future().get();
  CHECK(ran.try_receive());

  rill::async_run(context.io(), mark(), asio::detached);
  const auto pointer = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
  std::promise<int> moved;
  rill::async_run(context.io(), pointer(),
                  [&](const std::exception_ptr&, std::unique_ptr<int> value) { moved.set_value(*value); });
  CHECK(moved.get_future().get() == 7);
  context.finish();
  CHECK_THROWS_AS(failed.get(), std::runtime_error);
  CHECK(ran.try_receive());
}

TEST_CASE("async_run: the handler runs on its associated executor") {
  std::promise<bool> there;
  running_context work{2};
  running_context mine;
  rill::async_run(work.io(), answer(), asio::bind_executor(mine.io(), [&](const std::exception_ptr&, int) {
                    there.set_value(mine.runs_here());
                  }));
  CHECK(there.get_future().get());
  auto strand = asio::make_strand(work.io());
  std::promise<bool> in_strand;
  rill::async_run(work.io(), answer(), asio::bind_executor(strand, [&](const std::exception_ptr&, int) {
                    in_strand.set_value(strand.running_in_this_thread());
                  }));
  CHECK(in_strand.get_future().get());
}

TEST_CASE("async_run: the handler's executor counts the operation as work") {
  running_context work;
  asio::io_context mine;
  rill::channel<int> go{1};
  bool done = false;
  const auto wait = [&]() -> task<> { co_await go.receive(); };
  rill::async_run(work.io(), wait(),
                  asio::bind_executor(mine, [&](const std::exception_ptr&) { done = true; }));
  mine.poll();
  CHECK_FALSE(mine.stopped());
  CHECK(go.try_send(1));
  mine.run();
  CHECK(done);
}

namespace {

/// Counts what is allocated and not yet freed.
template <class T>
struct counting_allocator {
  using value_type = T;

  explicit counting_allocator(std::atomic<int>& made, std::atomic<int>& alive) noexcept
      : made_{&made}, alive_{&alive} {}
  template <class U>
  counting_allocator(const counting_allocator<U>& other) noexcept
      : made_{other.made_}, alive_{other.alive_} {}

  T* allocate(std::size_t count) {
    made_->fetch_add(1);
    alive_->fetch_add(1);
    return static_cast<T*>(::operator new(count * sizeof(T)));
  }
  void deallocate(T* memory, std::size_t) noexcept {
    alive_->fetch_sub(1);
    ::operator delete(memory);
  }
  template <class U>
  bool operator==(const counting_allocator<U>& other) const noexcept {
    return made_ == other.made_;
  }

  std::atomic<int>* made_;
  std::atomic<int>* alive_;
};

}  // namespace

TEST_CASE("async_run: the handler's allocator is used") {
  std::atomic<int> made{0};
  std::atomic<int> alive{0};
  asio::io_context io;
  bool done = false;
  rill::async_run(io, answer(),
                  asio::bind_allocator(counting_allocator<void*>{made, alive},
                                       [&](const std::exception_ptr&, int) { done = true; }));
  io.run();
  CHECK(done);
  CHECK(made >= 2);
  CHECK(alive == 0);
}

TEST_CASE("async_run: an emission on the handler's slot trips the task's token") {
  asio::io_context io;
  asio::cancellation_signal signal;
  bool unwound = false;
  std::error_code code;
  rill::async_run(io, wait_long(unwound),
                  asio::bind_cancellation_slot(
                      signal.slot(), [&](const std::exception_ptr& error) { code = code_of(error); }));
  SUBCASE("while it waits") { io.poll(); }
  SUBCASE("before it has started") { unwound = true; }
  signal.emit(asio::cancellation_type::terminal);
  io.run();
  CHECK(unwound);
  CHECK(code == asio::error::operation_aborted);
  CHECK_FALSE(signal.slot().has_handler());  // the operation has let go of the slot
  signal.emit(asio::cancellation_type::terminal);
}

TEST_CASE("async_run: a deadline is Asio's timed_out") {
  asio::io_context io;
  std::error_code code;
  const auto late = []() -> task<> {
    try {
      co_await rill::with_timeout(1ms, rill::sleep_for(1h));
    } catch (const rill::timeout_error&) {
      throw rill::operation_cancelled{rill::cancel_reason::deadline};
    }
  };
  rill::async_run(io, late(), [&](const std::exception_ptr& error) { code = code_of(error); });
  io.run();
  CHECK(code == asio::error::timed_out);
}

TEST_CASE("async_run: races a timer with Asio's operators") {
  using namespace asio::experimental::awaitable_operators;
  asio::io_context io;
  bool unwound = false;
  bool done = false;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        asio::steady_timer timer{io, 1ms};
        const auto first = co_await (rill::async_run(io, wait_long(unwound), asio::use_awaitable) ||
                                     timer.async_wait(asio::use_awaitable));
        CHECK(first.index() == 1);
        CHECK(unwound);
        timer.expires_after(1h);
        const auto second = co_await (rill::async_run(io, answer(), asio::use_awaitable) ||
                                      timer.async_wait(asio::use_awaitable));
        CHECK(second.index() == 0);
        done = true;
      },
      asio::detached);
  io.run();
  CHECK(done);
}

TEST_CASE("async_run: a context that is destroyed first frees the task and the handler") {
  auto alive = std::make_shared<int>(0);
  bool called = false;
  {
    asio::io_context io;
    rill::async_run(
        io, [](std::shared_ptr<int>) -> task<> { co_await rill::sleep_for(1h); }(alive),
        [alive, &called](const std::exception_ptr&) { called = true; });
    SUBCASE("after it has run") { io.poll(); }
    SUBCASE("before it has run") {}
  }
  CHECK(alive.use_count() == 1);
  CHECK_FALSE(called);
}

TEST_CASE("async_run: cancellations that race the end") {
  std::atomic<int> ended{0};
  running_context context{2};
  const int rounds = stress(300);
  for (int round = 0; round < rounds; ++round) {
    auto strand = asio::make_strand(context.io());
    auto signal = std::make_shared<asio::cancellation_signal>();
    const auto brief = [](int us) -> task<> { co_await rill::sleep_for(std::chrono::microseconds(us)); };
    std::promise<void> over;
    asio::post(strand, [&] {
      rill::async_run(context.io(), brief(round % 40),
                      asio::bind_cancellation_slot(
                          signal->slot(), asio::bind_executor(strand, [&, signal](const std::exception_ptr&) {
                            ended.fetch_add(1);
                            over.set_value();
                          })));
    });
    asio::post(strand, [signal] { signal->emit(asio::cancellation_type::terminal); });
    over.get_future().get();
  }
  context.finish();
  CHECK(ended == rounds);
}
