// resume_on: there and back, between two threads, and when one of the two homes goes away.
#include "rill/coro/resume_on.hpp"

#include "rill/coro/sleep.hpp"
#include "rill/coro/uncancellable.hpp"
#include "rill/coro/when_all.hpp"
#include "rill/coro/with_value.hpp"
#include "rill/coro/yield.hpp"
#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace {

using namespace rill_test;
using rill::resume_on;
using rill::sync_wait;
using rill::task;

/// A home with a thread of its own.
class background_loop {
 public:
  background_loop() : thread_{[this] { loop_.run_until(stopped_); }} {}
  background_loop(const background_loop&) = delete;
  background_loop& operator=(const background_loop&) = delete;
  ~background_loop() {
    rill::spawn(loop_, [this]() -> task<> {
      stopped_ = true;
      co_return;
    });
    thread_.join();
  }

  [[nodiscard]] rill::scheduler& home() noexcept { return loop_; }
  [[nodiscard]] std::thread::id thread() const noexcept { return thread_.get_id(); }

 private:
  rill::detail::run_loop loop_;
  bool stopped_ = false;  // used on the loop only
  std::thread thread_;
};

task<std::thread::id> where() { co_return std::this_thread::get_id(); }

TEST_CASE("the work runs there, and its awaiter goes on here") {
  background_loop there;
  sync_wait([](background_loop& other) -> task<> {
    const auto here = std::this_thread::get_id();
    CHECK(co_await resume_on(other.home(), where()) == other.thread());
    CHECK(std::this_thread::get_id() == here);
    co_await resume_on(other.home(), ready_nothing());
    CHECK(std::this_thread::get_id() == here);
    CHECK((co_await rill::this_context()).home != &other.home());
  }(there));
}

TEST_CASE("what the work waits for resumes it there, too") {
  background_loop there;
  auto work = [&]() -> task<bool> {
    bool always = true;
    for (int i = 0; i < 100; ++i) {
      co_await rill::yield();
      always = always && std::this_thread::get_id() == there.thread();
    }
    co_await rill::sleep_for(std::chrono::microseconds{10});
    co_return always&& std::this_thread::get_id() == there.thread();
  };
  CHECK(sync_wait(resume_on(there.home(), work())));
}

TEST_CASE("values, references, exceptions and frames come back; frames and arguments die there") {
  background_loop there;
  auto unique = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(3); };
  CHECK(*sync_wait(resume_on(there.home(), unique())) == 3);
  int target = 0;
  auto reference = [](int& to) -> task<int&> { co_return to; };
  CHECK(&sync_wait(resume_on(there.home(), reference(target))) == &target);
  CHECK_THROWS_WITH(static_cast<void>(sync_wait(resume_on(there.home(), ready_failure("over there")))),
                    "over there");
  struct argument {
    explicit argument(std::thread::id& to) : to_{&to} {}
    argument(argument&& other) noexcept : to_{std::exchange(other.to_, nullptr)} {}
    argument& operator=(argument&&) = delete;
    ~argument() {
      if (to_ != nullptr) *to_ = std::this_thread::get_id();
    }
    std::thread::id* to_;
  };
  std::thread::id died_on;
  auto take = [](argument) -> task<> { co_return; };
  sync_wait(resume_on(there.home(), take(argument{died_on})));
  CHECK(died_on == there.thread());
}

TEST_CASE("on the awaiter's own home it is a plain await") {
  jumping_loop loop;
  bool ready_at_once = false;
  loop.spawn([&]() -> task<> {
    CHECK(co_await resume_on(loop, ready_value(2)) == 2);
    co_await resume_on(loop, ready_nothing());
    ready_at_once = true;
  });
  loop.turn();
  CHECK(ready_at_once);
}

TEST_CASE("deadline and values flow there") {
  background_loop there;
  rill::detail::run_loop here;
  rill::task_context context;
  context.deadline = 66;
  auto look = [&]() -> task<bool> {
    const auto& seen = co_await rill::this_context();
    const int* value = seen.find<int>();
    co_return seen.deadline == 66 && value != nullptr && *value == 4 && seen.home == &there.home();
  };
  CHECK(rill::detail::run_on(here, rill::with_value(4, resume_on(there.home(), look())), context));
}

TEST_CASE("cancellation flows there, with its reason, from any thread") {
  background_loop there;
  rill::event never;
  rill::cancellation_source source;
  rill::event waiting;
  log events;
  auto work = [&]() -> task<> {
    waiting.set();
    co_await wait_and_log(never, events, "work");
  };
  std::thread canceller;
  auto body = [&]() -> task<> {
    auto cancel = [&]() -> task<> {
      co_await rill::uncancellable(waiting.wait());
      canceller = std::thread{[&] { source.cancel(rill::cancel_reason::shutdown); }};
    };
    co_await rill::when_all(resume_on(there.home(), work()), cancel());
  };
  std::string caught;
  try {
    sync_wait(body(), source.token());
  } catch (const rill::operation_cancelled& why) {
    caught = why.what();
  }
  canceller.join();
  CHECK(caught == "cancelled by shutdown");
  CHECK(events == log{"work cancelled: cancelled by shutdown", "~work"});
}

TEST_CASE("work is awaited even when it does not heed the cancellation") {
  background_loop there;
  rill::cancellation_source source;
  source.cancel();
  CHECK(sync_wait(resume_on(there.home(), ready_value(8)), source.token()) == 8);
}

TEST_CASE("back and forth, from two threads at once") {
  background_loop there;
  auto ping = [&](int rounds) -> task<long> {
    long sum = 0;
    for (int i = 0; i < rounds; ++i) sum += co_await resume_on(there.home(), ready_value(i));
    co_return sum;
  };
  long other_sum = 0;
  std::thread other{[&] { other_sum = sync_wait(ping(5'000)); }};
  const auto [first, second] = sync_wait(rill::when_all(ping(2'000), ping(2'000)));
  other.join();
  CHECK(first == 1'999'000);
  CHECK(second == 1'999'000);
  CHECK(other_sum == 12'497'500);
}

TEST_CASE("the other home is destroyed with the work on it: the awaiter is cancelled by shutdown") {
  log events;
  rill::event never;
  jumping_loop here;
  std::optional<jumping_loop> there{std::in_place};
  std::string caught;
  here.spawn([&]() -> task<> {
    try {
      co_await resume_on(*there, wait_and_log(never, events, "work"));
    } catch (const rill::operation_cancelled& why) {
      caught = why.what();
    }
  });
  here.turn();
  SUBCASE("suspended") { there->turn(); }
  SUBCASE("not started") {}
  CHECK(events.empty());
  there.reset();
  CHECK(events.size() <= 1);
  CHECK(caught.empty());
  here.turn();
  CHECK(caught == "cancelled by shutdown");
}

TEST_CASE("the awaiter's home is destroyed meanwhile: the work is cancelled, and ends where it is") {
  log events;
  rill::event never;
  jumping_loop there;
  {
    jumping_loop here;
    here.spawn([&]() -> task<> {
      witness gone{events, "awaiter"};
      co_await resume_on(there, wait_and_log(never, events, "work"));
    });
    here.turn();
    SUBCASE("while it waits") { there.turn(); }
    SUBCASE("before it has started") {}
    SUBCASE("when it has ended already") {
      never.set();
      there.turn();
    }
  }
  there.turn();
  REQUIRE(events.size() == 3);
  const bool ended = events.front() == "work done";
  CHECK(events == (ended ? log{"work done", "~work", "~awaiter"}
                         : log{"~awaiter", "work cancelled: cancelled by shutdown", "~work"}));
}

TEST_CASE("both homes are destroyed, in either order") {
  log events;
  rill::event never;
  std::optional<jumping_loop> here{std::in_place};
  std::optional<jumping_loop> there{std::in_place};
  here->spawn([&]() -> task<> { co_await resume_on(*there, wait_and_log(never, events, "work")); });
  here->turn();
  there->turn();
  SUBCASE("the awaiter's first") {
    here.reset();
    there.reset();
  }
  SUBCASE("the other first") {
    there.reset();
    here.reset();
  }
  CHECK(events == log{"~work"});
}

TEST_CASE("the awaiter's home is destroyed at the moment when the work comes back") {
  background_loop there;
  for (int round = 0; round < 1'000; ++round) {
    auto ran = std::make_shared<std::atomic<bool>>(false);
    {
      rill::detail::run_loop here;
      bool sent = false;
      auto work = [](std::shared_ptr<std::atomic<bool>> done) -> task<> {
        done->store(true);
        co_return;
      };
      rill::spawn(here, [&]() -> task<> {
        sent = true;
        co_await resume_on(there.home(), work(ran));
      });
      here.run_until(sent);
      for (int i = 0; i < round % 30; ++i) std::this_thread::yield();
    }
    while (!ran->load()) std::this_thread::yield();
  }
}

}  // namespace
