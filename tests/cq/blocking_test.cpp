// run_blocking: results, exceptions, cancellation before and during the work, the pool's bound and its end.
#include <rill/coro/cancellation.hpp>
#include <rill/coro/detail/run_loop.hpp>
#include <rill/coro/sync_wait.hpp>
#include <rill/coro/task.hpp>
#include <rill/coro/this_context.hpp>
#include <rill/engine/cq/blocking.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rill::task;

/// A door that threads wait at.
class gate {
 public:
  void open() {
    const std::lock_guard held{mutex_};
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock held{mutex_};
    ++arrived_;
    changed_.notify_all();
    changed_.wait(held, [this] { return open_; });
  }
  void wait_for_arrivals(int count) {
    std::unique_lock held{mutex_};
    changed_.wait(held, [&] { return arrived_ >= count; });
  }
  [[nodiscard]] int arrived() {
    const std::lock_guard held{mutex_};
    return arrived_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
};

/// A task that runs beside the test's own, on its home, and says how it ended.
enum class outcome { none, value, cancelled, failed };

rill::detail::root beside(task<> work, outcome& ended) {
  try {
    co_await std::move(work);
    ended = outcome::value;
  } catch (const rill::operation_cancelled&) {
    ended = outcome::cancelled;
  } catch (...) {
    ended = outcome::failed;
  }
}

TEST_CASE("the callable runs on another thread and the task goes on at home") {
  const auto home = std::this_thread::get_id();
  auto body = [&]() -> task<> {
    const std::thread::id there = co_await rill::run_blocking([] { return std::this_thread::get_id(); });
    CHECK(there != home);
    CHECK(std::this_thread::get_id() == home);
  };
  rill::sync_wait(body());
}

TEST_CASE("results of every kind and exceptions come back") {
  auto body = []() -> task<> {
    std::string text = "moved";
    auto move_it = [&] { return std::move(text); };
    const std::string moved = co_await rill::run_blocking(move_it);
    CHECK(moved == "moved");
    int target = 0;
    co_await rill::run_blocking([&] { target = 5; });
    CHECK(target == 5);
    auto refer = [&]() -> int& { return target; };
    int& referred = co_await rill::run_blocking(refer);
    CHECK(&referred == &target);
    bool caught = false;
    try {
      co_await rill::run_blocking([] { throw std::runtime_error{"no disk"}; });
    } catch (const std::runtime_error& error) {
      caught = std::string{"no disk"} == error.what();
    }
    CHECK(caught);
  };
  rill::sync_wait(body());
}

TEST_CASE("work that is running is awaited, though the task is cancelled, and its result is given") {
  rill::blocking_pool pool;
  gate door;
  rill::cancellation_source stop;
  auto body = [&]() -> task<int> {
    auto work = [&](rill::cancellation_token token) {
      stop.cancel();
      const bool seen = token.is_cancelled();
      door.open();
      return seen ? 1 : 2;
    };
    const int result = co_await pool.run(work);
    co_return result;
  };
  const int result = rill::sync_wait(body(), stop.token());
  CHECK(result == 1);
}

TEST_CASE("work that waits for a thread is withdrawn when the task is cancelled") {
  rill::blocking_pool pool{{.threads = 1}};
  gate door;
  std::atomic<int> ran{0};
  auto body = [&]() -> task<> {
    rill::task_context& context = co_await rill::this_context();
    rill::cancellation_source stop;
    rill::task_context other = context;
    other.token = stop.token();
    outcome first = outcome::none;
    outcome second = outcome::none;
    auto hold = [&]() -> task<> { co_await pool.run([&] { door.pass(); }); };
    auto wait = [&]() -> task<> { co_await pool.run([&] { ran.fetch_add(1); }); };
    beside(hold(), first).start(context);
    co_await rill::run_blocking([&] { door.wait_for_arrivals(1); });
    beside(wait(), second).start(other);
    CHECK(second == outcome::none);
    stop.cancel();
    co_await rill::run_blocking([] {});
    CHECK(second == outcome::cancelled);
    CHECK(first == outcome::none);
    door.open();
    co_await pool.run([] {});  // one thread: the first has ended by now
    co_await rill::run_blocking([] {});
    CHECK(first == outcome::value);
  };
  rill::sync_wait(body());
  CHECK(ran == 0);
}

TEST_CASE("a task that is cancelled already runs nothing") {
  rill::cancellation_source stop;
  stop.cancel(rill::cancel_reason::deadline);
  bool ran = false;
  std::optional<rill::cancel_reason> why;
  auto body = [&]() -> task<> {
    try {
      co_await rill::run_blocking([&] { ran = true; });
    } catch (const rill::operation_cancelled& cancelled) {
      why = cancelled.reason();
    }
  };
  rill::sync_wait(body(), stop.token());
  CHECK(!ran);
  CHECK(why == rill::cancel_reason::deadline);
}

TEST_CASE("cancellation that races the start of the work loses neither the work's end nor the task") {
  rill::blocking_pool pool{{.threads = 2}};
  int values = 0;
  int cancelled = 0;
  std::atomic<int> ran{0};
  for (int i = 0; i < 2000; ++i) {
    rill::cancellation_source stop;
    std::thread canceller;
    auto body = [&]() -> task<> {
      if (i % 2 == 0) {
        canceller = std::thread{[&] { stop.cancel(); }};
        try {
          co_await pool.run([&] { ran.fetch_add(1); });
          ++values;
        } catch (const rill::operation_cancelled&) {
          ++cancelled;
        }
      } else {
        co_await pool.run([&] {
          ran.fetch_add(1);
          stop.cancel();
        });
        ++values;
      }
    };
    rill::sync_wait(body(), stop.token());
    if (canceller.joinable()) canceller.join();
  }
  CHECK(values + cancelled == 2000);
  CHECK(ran == values);
}

TEST_CASE("the pool grows with the work, up to its bound, and shrinks when there is none") {
  rill::blocking_pool pool{{.threads = 3, .idle = 1ms}};
  gate door;
  std::vector<outcome> ends(5, outcome::none);
  auto body = [&]() -> task<> {
    rill::task_context& context = co_await rill::this_context();
    auto pass = [&]() -> task<> { co_await pool.run([&] { door.pass(); }); };
    for (outcome& one : ends) beside(pass(), one).start(context);
    co_await rill::run_blocking([&] { door.wait_for_arrivals(3); });
    CHECK(pool.threads() == 3);
    CHECK(door.arrived() == 3);
    door.open();
    co_await rill::run_blocking([&] {
      door.wait_for_arrivals(5);
      while (pool.threads() != 0) std::this_thread::sleep_for(1ms);
    });
    for (const outcome one : ends) CHECK(one == outcome::value);
    co_await pool.run([] {});  // and grows again
  };
  rill::sync_wait(body());
}

TEST_CASE("a home that is destroyed waits for the work that runs") {
  rill::blocking_pool pool;
  gate door;
  std::atomic<bool> finished{false};
  outcome ended = outcome::none;
  std::thread opener;
  {
    rill::detail::run_loop loop;
    rill::task_context context;
    context.home = &loop;
    auto run = [&]() -> task<> {
      int local = 0;
      co_await pool.run([&] {
        door.pass();
        local = 1;
        finished = local == 1;
      });
    };
    beside(run(), ended).start(context);
    door.wait_for_arrivals(1);
    opener = std::thread{[&] { door.open(); }};
  }
  CHECK(finished);
  CHECK(ended == outcome::none);
  opener.join();
}

TEST_CASE("a home that is destroyed withdraws the work that waits") {
  rill::blocking_pool pool{{.threads = 1}};
  gate door;
  std::atomic<int> ran{0};
  outcome ended = outcome::none;
  auto body = [&]() -> task<> { co_await pool.run([&] { door.pass(); }); };
  std::thread busy{[&] { rill::sync_wait(body()); }};
  door.wait_for_arrivals(1);
  {
    rill::detail::run_loop loop;
    rill::task_context context;
    context.home = &loop;
    auto wait = [&]() -> task<> { co_await pool.run([&] { ran.fetch_add(1); }); };
    beside(wait(), ended).start(context);
  }
  door.open();
  busy.join();
  CHECK(ran == 0);
  CHECK(ended == outcome::none);
}

TEST_CASE("a pool without threads is refused") {
  CHECK_THROWS_AS(rill::blocking_pool{{.threads = 0}}, rill::usage_error);
}

}  // namespace
