// A foreign awaitable, which could resume the task on a thread that is not its home's.
// expect: a rill coroutine cannot await this type
// expect: bridge it with rill::event, rill::channel
#include <rill/coro/task.hpp>

#include <coroutine>

rill::task<> await_it() {
#if !defined(FIXED)
  co_await std::suspend_always{};
#endif
  co_return;
}
