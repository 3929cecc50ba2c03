// async_mutex: every ending of lock, order of service, and exclusion on two threads.
#include "rill/coro/async_mutex.hpp"

#include "rill/coro/task.hpp"
#include "rill/coro/yield.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <utility>
#include <vector>

using namespace rill_test;

namespace {

struct locking {
  rill::async_mutex mutex;
  std::optional<rill::async_mutex::guard> other = mutex.try_lock();

  rill::task<> wait() { auto held = co_await mutex.lock(); }
  void complete() { other->unlock(); }
  bool intact(bool) { return mutex.try_lock().has_value(); }
  bool intact_without_task() { return mutex.try_lock().has_value(); }
};

TEST_CASE("async_mutex: every ending of lock") { check_every_ending<locking>(); }

TEST_CASE("async_mutex: try_lock fails while it is locked") {
  rill::async_mutex mutex;
  auto first = mutex.try_lock();
  REQUIRE(first.has_value());
  CHECK_FALSE(mutex.try_lock().has_value());
  first->unlock();
  CHECK_FALSE(static_cast<bool>(*first));
  CHECK(mutex.try_lock().has_value());
}

TEST_CASE("async_mutex: first come, first served, and a newcomer does not barge in") {
  rill::async_mutex mutex;
  std::vector<int> order;
  auto locks = [](rill::async_mutex& on, std::vector<int>& log, int name) -> rill::task<> {
    auto held = co_await on.lock();
    log.push_back(name);
    co_await rill::yield();
    log.push_back(name);
  };
  home here;
  auto first = mutex.try_lock();
  for (int name = 0; name < 4; ++name) here.spawn(locks(mutex, order, name));
  here.turn();
  first->unlock();
  CHECK_FALSE(mutex.try_lock().has_value());
  here.run();
  CHECK(order == std::vector<int>{0, 0, 1, 1, 2, 2, 3, 3});
}

TEST_CASE("async_mutex: excludes tasks on two threads from each other") {
  const int turns = stress(4000);
  rill::async_mutex mutex;
  long counter = 0;  // guarded by the mutex alone
  auto counts = [&](unsigned seed) -> rill::task<> {
    dice roll{seed};
    for (int turn = 0; turn < turns; ++turn) {
      auto held = co_await mutex.lock();
      const long before = counter;
      if (roll(8) == 0) co_await rill::yield();
      counter = before + 1;
    }
  };
  std::vector<std::vector<rill::task<>>> groups(2);
  for (unsigned seed = 0; seed < 6; ++seed) groups[seed % 2].push_back(counts(seed));
  run_on_threads(std::move(groups));
  CHECK(counter == 6L * turns);
}

}  // namespace
