// An awaiter that is an aggregate with a non-trivial destructor: GCC 12 destroys it twice. Hence every awaitable of
// rill has a constructor.
#include "mini_task.hpp"

using mini::task;
using mini::tracked;

namespace {

struct aggregate_awaiter {
  tracked member;
  bool await_ready() const noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  int await_resume() const noexcept { return 7; }
};

class constructed_awaiter {
 public:
  constructed_awaiter() noexcept {}
  bool await_ready() const noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  int await_resume() const noexcept { return 7; }

 private:
  tracked member_;
};

task<int> await_aggregate() {
  int value = co_await aggregate_awaiter{};
  co_return value;
}
task<int> await_constructed() {
  int value = co_await constructed_awaiter();
  co_return value;
}

bool destroyed_twice(task<int> (*program)()) {
  tracked::constructed = tracked::destroyed = 0;
  {
    task<int> running = program();
    if (running.run() != 7) return true;
  }
  return tracked::balance() < 0;
}

}  // namespace

int main() {
  int wrong = 0;
  wrong +=
      mini::verdict("aggregate awaiter is destroyed twice", destroyed_twice(await_aggregate), mini::gcc_12);
  wrong += mini::verdict("awaiter with a constructor is destroyed twice", destroyed_twice(await_constructed),
                         false);
  return wrong;
}
