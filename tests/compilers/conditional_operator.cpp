// `condition ? co_await f() : T{}`: GCC 12 destroys the result twice. An if statement does not.
#include "mini_task.hpp"

using mini::task;
using mini::tracked;

namespace {

task<tracked> make() {
  tracked made;
  co_return made;
}

task<int> by_operator(bool ask) {
  tracked result = ask ? co_await make() : tracked{};
  (void)result;
  co_return 7;
}
task<int> by_statement(bool ask) {
  tracked result;
  if (ask) result = co_await make();
  co_return 7;
}

bool destroyed_twice(task<int> (*program)(bool), bool ask) {
  tracked::constructed = tracked::destroyed = 0;
  {
    task<int> running = program(ask);
    if (running.run() != 7) return true;
  }
  return tracked::balance() < 0;
}

}  // namespace

int main() {
  int wrong = 0;
  const bool seen = destroyed_twice(by_operator, true) || destroyed_twice(by_operator, false);
  wrong += mini::verdict("the conditional operator's result is destroyed twice", seen, mini::gcc_12);
  wrong += mini::verdict("an if statement's result is destroyed twice",
                         destroyed_twice(by_statement, true) || destroyed_twice(by_statement, false), false);
  return wrong;
}
