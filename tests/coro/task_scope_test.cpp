// task_scope: joining, failures, the background, cancellation from inside and outside.
#include "rill/coro/task_scope.hpp"

#include "rill/coro/channel.hpp"
#include "rill/coro/uncancellable.hpp"
#include "rill/coro/with_cancellation.hpp"
#include "rill/coro/with_value.hpp"
#include "rill/coro/yield.hpp"
#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace {

using namespace rill_test;
using rill::sync_wait;
using rill::task;
using rill::task_scope;

TEST_CASE("run returns when the body and everything spawned have ended") {
  rill::event gate;
  log events;
  jumping_loop loop;
  loop.spawn([&]() -> task<> {
    co_await task_scope::run([&](task_scope& scope) -> task<> {
      scope.spawn([&] { return wait_and_log(gate, events, "callable"); });
      scope.spawn(wait_and_log(gate, events, "task"));
      events.push_back("body");
      co_return;
    });
    events.push_back("joined");
  });
  loop.turn();
  CHECK(events == log{"body"});
  gate.set();
  loop.turn();
  CHECK(events == log{"body", "callable done", "~callable", "task done", "~task", "joined"});
}

TEST_CASE("an empty scope, and one that gives a value") {
  sync_wait(task_scope::run([](task_scope&) -> task<> { co_return; }));
  CHECK(sync_wait(task_scope::run([](task_scope&) -> task<int> { co_return 4; })) == 4);
  auto body = [held = std::make_unique<int>(5)](task_scope&) -> task<std::unique_ptr<int>> {
    co_return std::make_unique<int>(*held + 1);
  };
  CHECK(*sync_wait(task_scope::run(body)) == 6);
}

TEST_CASE("spawn never runs anything inside the call, and keeps the callable until its task has ended") {
  rill::event gate;
  log events;
  jumping_loop loop;
  loop.spawn([&]() -> task<> {
    co_await task_scope::run([&](task_scope& scope) -> task<> {
      {
        witness captured{events, "capture"};
        scope.spawn([&events, &gate, captured = std::move(captured)]() -> task<> {
          events.push_back("called");
          co_await gate.wait();
          events.push_back("ending");
        });
      }
      events.push_back("spawned");
      co_return;
    });
  });
  loop.turn();
  CHECK(events == log{"spawned", "called"});
  gate.set();
  loop.turn();
  CHECK(events == log{"spawned", "called", "ending", "~capture"});
}

TEST_CASE("what has ended is freed while the scope goes on") {
  sync_wait(task_scope::run([](task_scope& scope) -> task<> {
    const long before = rill::detail::live_frames();
    for (int i = 0; i < 1'000; ++i) {
      scope.spawn(ready_nothing);
      if (i % 10 == 9) co_await rill::yield();
    }
    co_await rill::yield();
    CHECK(rill::detail::live_frames() == before);
  }));
}

TEST_CASE("the first failure cancels everything and is thrown once all have ended") {
  rill::event fail;
  rill::event never;
  rill::event cleaned;
  log events;
  jumping_loop loop;
  bool body_fails = false;
  SUBCASE("of a spawned task") {}
  SUBCASE("of the body") { body_fails = true; }
  auto slow_to_end = [&]() -> task<> {
    try {
      co_await never.wait();
    } catch (const rill::operation_cancelled&) {
      events.push_back("slow cancelled");
    }
    co_await rill::uncancellable(cleaned.wait());
    events.push_back("slow ended");
    throw std::runtime_error{"too late to count"};
  };
  loop.spawn([&]() -> task<> {
    try {
      co_await task_scope::run([&](task_scope& scope) -> task<> {
        scope.spawn(slow_to_end);
        scope.spawn_background([&] { return wait_and_log(never, events, "background"); });
        if (!body_fails) scope.spawn([&] { return fail_after(fail, "failed"); });
        co_await (body_fails ? fail : never).wait();
        throw std::runtime_error{"failed"};
      });
    } catch (const std::runtime_error& error) {
      events.push_back(error.what());
    }
  });
  loop.turn();
  CHECK(events.empty());
  fail.set();
  loop.turn();
  CHECK(events == log{"background cancelled: cancelled", "~background", "slow cancelled"});
  cleaned.set();
  loop.turn();
  CHECK(events.size() == 5);
  CHECK(events[3] == "slow ended");
  CHECK(events[4] == "failed");
}

TEST_CASE("a callable that throws instead of giving a task is a failure, too") {
  struct thrower {
    task<> operator()() const { throw std::runtime_error{"no task"}; }
  };
  CHECK_THROWS_WITH(sync_wait(task_scope::run([](task_scope& scope) -> task<> {
                      scope.spawn(thrower{});
                      co_return;
                    })),
                    "no task");
}

TEST_CASE("the background is cancelled once body and joined tasks have ended") {
  rill::event gate;
  rill::event never;
  log events;
  jumping_loop loop;
  loop.spawn([&]() -> task<> {
    co_await task_scope::run([&](task_scope& scope) -> task<> {
      scope.spawn_background(wait_and_log(never, events, "heartbeat"));
      scope.spawn_background([&] { return wait_and_log(gate, events, "ends itself"); });
      scope.spawn([&] { return wait_and_log(gate, events, "joined"); });
      co_return;
    });
    events.push_back("end");
  });
  loop.turn();
  CHECK(events.empty());
  gate.set();
  loop.turn();
  CHECK(events.size() == 7);
  CHECK(events[4] == "heartbeat cancelled: cancelled");
  CHECK(events[6] == "end");
}

TEST_CASE("tasks may spawn tasks, also while the body has ended, and from the background's clean-up") {
  log events;
  rill::event never;
  sync_wait(task_scope::run([&](task_scope& scope) -> task<> {
    scope.spawn([&]() -> task<> {
      co_await rill::yield();
      scope.spawn([&]() -> task<> {
        events.push_back("grandchild");
        co_return;
      });
    });
    scope.spawn_background([&]() -> task<> {
      try {
        co_await never.wait();
      } catch (const rill::operation_cancelled&) {
        scope.spawn([&]() -> task<> {
          events.push_back("last");
          co_return;
        });
      }
    });
    co_return;
  }));
  CHECK(events == log{"grandchild", "last"});
}

TEST_CASE("cancel ends the scope quietly") {
  rill::event never;
  log events;
  SUBCASE("by the body") {
    sync_wait(task_scope::run([&](task_scope& scope) -> task<> {
      scope.spawn([&] { return wait_and_log(never, events, "child"); });
      co_await rill::yield();
      scope.cancel();
      co_await never.wait();
    }));
    CHECK(events == log{"child cancelled: cancelled", "~child"});
  }
  SUBCASE("by a child, with a reason") {
    sync_wait(task_scope::run([&](task_scope& scope) -> task<> {
      scope.spawn([&]() -> task<> {
        scope.cancel(rill::cancel_reason::shutdown);
        co_return;
      });
      co_await wait_and_log(never, events, "body");
    }));
    CHECK(events == log{"body cancelled: cancelled by shutdown", "~body"});
  }
  SUBCASE("by another thread, through the token that it sees") {
    std::thread other;
    sync_wait(task_scope::run([&](task_scope& scope) -> task<> {
      CHECK_FALSE(scope.token().is_cancelled());
      other = std::thread{[&scope] { scope.cancel(); }};
      co_await wait_and_log(never, events, "body");
    }));
    other.join();
    CHECK(events.size() == 2);
  }
  SUBCASE("except that a body which owes a value throws") {
    CHECK_THROWS_AS(sync_wait(task_scope::run([&](task_scope& scope) -> task<int> {
                      scope.cancel();
                      co_await never.wait();
                      co_return 1;
                    })),
                    rill::operation_cancelled);
  }
}

TEST_CASE("a child that is cancelled alone ends alone") {
  rill::event never;
  rill::cancellation_source alone;
  log events;
  jumping_loop loop;
  loop.spawn([&]() -> task<> {
    co_await task_scope::run([&](task_scope& scope) -> task<> {
      scope.spawn([&] { return rill::with_cancellation(alone.token(), wait_and_log(never, events, "a")); });
      scope.spawn([&] { return wait_and_log(never, events, "b"); });
      co_return;
    });
    events.push_back("end");
  });
  loop.turn();
  alone.cancel();
  loop.turn();
  CHECK(events == log{"a cancelled: cancelled", "~a"});
  never.set();
  loop.turn();
  CHECK(events == log{"a cancelled: cancelled", "~a", "b done", "~b", "end"});
}

TEST_CASE("an operation_cancelled that leaves the body of a scope that goes on is a failure") {
  rill::event never;
  rill::cancellation_source alone;
  alone.cancel();
  log events;
  CHECK_THROWS_AS(sync_wait(task_scope::run([&](task_scope& scope) -> task<> {
                    scope.spawn([&] { return wait_and_log(never, events, "child"); });
                    co_await rill::with_cancellation(alone.token(), never.wait());
                  })),
                  rill::operation_cancelled);
  CHECK(events == log{"child cancelled: cancelled", "~child"});
}

TEST_CASE("cancellation from outside flows into everything, and run throws it") {
  rill::event never;
  log events;
  rill::cancellation_source source;
  jumping_loop loop;
  std::string caught;
  bool body_waits = false;
  SUBCASE("while the body waits") { body_waits = true; }
  SUBCASE("while only children wait") {}
  loop.spawn(
      [&]() -> task<> {
        try {
          co_await task_scope::run([&](task_scope& scope) -> task<> {
            scope.spawn([&] { return wait_and_log(never, events, "child"); });
            scope.spawn_background([&] { return wait_and_log(never, events, "background"); });
            if (body_waits) co_await never.wait();
          });
        } catch (const rill::operation_cancelled& why) {
          caught = why.what();
        }
      },
      source.token());
  loop.turn();
  source.cancel(rill::cancel_reason::shutdown);
  loop.turn();
  CHECK(caught == "cancelled by shutdown");
  CHECK(events.size() == 4);
}

TEST_CASE("a cancelled task's scope that need not wait ends normally") {
  rill::cancellation_source source;
  source.cancel();
  int ran = 0;
  auto count = [&]() -> task<> {
    ++ran;
    co_return;
  };
  sync_wait(task_scope::run([&](task_scope& scope) -> task<> {
              scope.spawn(count);
              co_await count();
            }),
            source.token());
  CHECK(ran == 2);
}

TEST_CASE("the children inherit home, deadline and values") {
  jumping_loop loop;
  rill::task_context context;
  context.deadline = 44;
  auto body = [&](task_scope& scope) -> task<> {
    scope.spawn([&]() -> task<> {
      const auto seen = co_await seen_context();
      CHECK(seen.home == &loop);
      CHECK(seen.deadline == 44);
      CHECK(*seen.find<int>() == 3);
      CHECK(seen.token == scope.token());
    });
    co_return;
  };
  loop.run(rill::with_value(3, task_scope::run(body)), context);
}

TEST_CASE("scopes within scopes, many times over") {
  int leaves = 0;
  struct tree {
    static task<> grow(int depth, int& leaves) {
      if (depth == 0) {
        ++leaves;
        co_return;
      }
      co_await task_scope::run([&](task_scope& scope) -> task<> {
        for (int i = 0; i < 4; ++i) scope.spawn([=, &leaves] { return grow(depth - 1, leaves); });
        co_return;
      });
    }
  };
  sync_wait(tree::grow(6, leaves));
  CHECK(leaves == 4096);
}

TEST_CASE("a chain in which each task spawns the next") {
  int left = 200'000;
  auto body = [&](task_scope& scope) -> task<> {
    struct link {
      task_scope& scope;
      int& left;
      task<> operator()() const {
        if (--left > 0) scope.spawn(*this);
        co_return;
      }
    };
    scope.spawn(link{scope, left});
    co_return;
  };
  sync_wait(task_scope::run(body));
  CHECK(left == 0);
}

TEST_CASE("two hundred thousand scopes that end at once") {
  sync_wait([]() -> task<> {
    long sum = 0;
    for (int i = 0; i < 200'000; ++i) {
      sum += co_await task_scope::run([](task_scope&) -> task<int> { co_return 1; });
    }
    CHECK(sum == 200'000);
  }());
}

TEST_CASE("a home destroyed in the middle: the newest goes first, the body last") {
  log events;
  rill::event never;
  {
    jumping_loop loop;
    loop.spawn([&]() -> task<> {
      witness outside{events, "outside"};
      co_await task_scope::run([&](task_scope& scope) -> task<> {
        rill::event own;
        witness local{events, "body"};
        scope.spawn([&] { return wait_and_log(own, events, "first"); });
        scope.spawn_background([&] { return wait_and_log(own, events, "second"); });
        co_await never.wait();
      });
    });
    loop.turn();
    CHECK(events.empty());
  }
  CHECK(events == log{"~second", "~first", "~body", "~outside"});
}

TEST_CASE("a home destroyed before the children have started") {
  rill::event never;
  jumping_loop loop;
  bool spawned = false;
  loop.spawn([&]() -> task<> {
    co_await task_scope::run([&](task_scope& scope) -> task<> {
      scope.spawn(ready_nothing);
      scope.spawn(ready_nothing());
      spawned = true;
      co_await never.wait();
    });
  });
  loop.run_until(spawned);
  CHECK(spawned);
}

}  // namespace
