// An aggregate temporary with a non-trivial destructor, inside a co_await expression: GCC 12 copies it bitwise into
// the frame and destroys both. Hence options structs are trivially destructible and awaitables are never aggregates.
#include "mini_task.hpp"

using mini::task;
using mini::tracked;

namespace {

struct aggregate_options {
  int limit = 0;
  tracked member;
};

class constructed_options {
 public:
  explicit constructed_options(int limit) : limit_(limit) {}
  int limit() const { return limit_; }

 private:
  int limit_;
  tracked member_;
};

struct trivial_options {
  int limit = 0;
  const tracked* by_reference = nullptr;
};

task<int> by_value(aggregate_options options) { co_return options.limit; }
task<int> by_const_reference(const aggregate_options& options) { co_return options.limit; }
task<int> constructed(constructed_options options) { co_return options.limit(); }
task<int> trivial(trivial_options options) { co_return options.limit; }

task<int> pass_aggregate_by_value() {
  int limit = co_await by_value({.limit = 7, .member = {}});
  co_return limit;
}
task<int> pass_aggregate_by_reference() {
  int limit = co_await by_const_reference({.limit = 7, .member = {}});
  co_return limit;
}
task<int> pass_constructed() {
  int limit = co_await constructed(constructed_options(7));
  co_return limit;
}
task<int> pass_trivial() {
  tracked kept_by_the_caller;
  int limit = co_await trivial({.limit = 7, .by_reference = &kept_by_the_caller});
  co_return limit;
}
task<int> pass_named_aggregate() {
  aggregate_options options{.limit = 7, .member = {}};
  int limit = co_await by_const_reference(options);
  co_return limit;
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
  wrong += mini::verdict("aggregate by value is destroyed twice", destroyed_twice(pass_aggregate_by_value),
                         mini::gcc_12);
  wrong += mini::verdict("aggregate by reference is destroyed twice",
                         destroyed_twice(pass_aggregate_by_reference), mini::gcc_12);
  wrong +=
      mini::verdict("type with a constructor is destroyed twice", destroyed_twice(pass_constructed), false);
  wrong += mini::verdict("trivially destructible aggregate is destroyed twice", destroyed_twice(pass_trivial),
                         false);
  wrong += mini::verdict("named aggregate is destroyed twice", destroyed_twice(pass_named_aggregate), false);
  return wrong;
}
