// co_await in the condition of if, while, do or switch, in a coroutine that declares no local variable: GCC 12 can
// skip the whole body without a word. One declared local cures it.
#include "mini_task.hpp"

using mini::task;

namespace {

task<int> positive(int value) { co_return value > 0; }

task<int> in_if(int value) {
  if (co_await positive(value)) co_return 1;
  co_return 2;
}
task<int> in_while(int value) {
  while (co_await positive(value)) co_return 1;
  co_return 2;
}
task<int> in_switch(int value) {
  switch (co_await positive(value)) {
    case 1:
      co_return 1;
    default:
      co_return 2;
  }
}
task<int> with_a_local(int value) {
  const int known = co_await positive(value);
  if (known) co_return 1;
  co_return 2;
}
task<int> with_any_local(int value) {
  [[maybe_unused]] int unrelated = 0;
  if (co_await positive(value)) co_return 1;
  co_return 2;
}

task<int> with_a_local_in_the_condition(int value) {
  while (const int known = co_await positive(value)) co_return known;
  co_return 2;
}

bool body_is_skipped(task<int> (*program)(int)) {
  task<int> yes = program(1);
  task<int> no = program(-1);
  const bool good = yes.run() == 1 && no.run() == 2;
  return !good;
}

}  // namespace

int main() {
  int wrong = 0;
  wrong += mini::verdict("body is skipped after if (co_await ...)", body_is_skipped(in_if), mini::gcc_12);
  wrong +=
      mini::verdict("body is skipped after while (co_await ...)", body_is_skipped(in_while), mini::gcc_12);
  wrong +=
      mini::verdict("body is skipped after switch (co_await ...)", body_is_skipped(in_switch), mini::gcc_12);
  wrong += mini::verdict("body is skipped when awaited into a local", body_is_skipped(with_a_local), false);
  wrong +=
      mini::verdict("body is skipped when any local is declared", body_is_skipped(with_any_local), false);
  wrong += mini::verdict("body is skipped when the condition declares a local",
                         body_is_skipped(with_a_local_in_the_condition), false);
  return wrong;
}
