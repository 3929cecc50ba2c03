// A temporary lambda with non-trivial captures by value, inside a co_await expression: GCC 12 destroys the captures
// twice. Named lambdas and captures by reference are fine.
#include "mini_task.hpp"

using mini::task;
using mini::tracked;

namespace {

template <class Callable>
task<int> call(Callable callable) {
  co_return callable();
}

task<int> pass_temporary() {
  tracked value;
  int result = co_await call([value] {
    (void)value;
    return 7;
  });
  co_return result;
}
task<int> pass_named() {
  tracked value;
  auto callable = [value] {
    (void)value;
    return 7;
  };
  int result = co_await call(callable);
  co_return result;
}
task<int> pass_by_reference() {
  tracked value;
  int result = co_await call([&] {
    (void)value;
    return 7;
  });
  co_return result;
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
  wrong += mini::verdict("temporary lambda's captures are destroyed twice", destroyed_twice(pass_temporary),
                         mini::gcc_12);
  wrong += mini::verdict("named lambda's captures are destroyed twice", destroyed_twice(pass_named), false);
  wrong +=
      mini::verdict("captures by reference are destroyed twice", destroyed_twice(pass_by_reference), false);
  return wrong;
}
