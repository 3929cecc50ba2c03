// A task awaited by a coroutine that has no context to hand down.
// expect: only a rill coroutine (task, async_generator) can await this
#include <rill/coro/task.hpp>

#include <coroutine>

#if defined(FIXED)
using outer = rill::task<>;
#else
struct outer {
  struct promise_type {
    outer get_return_object() { return {}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};
#endif

rill::task<int> inner() { co_return 1; }
outer await_it() {
  const int value = co_await inner();
  (void)value;
}
