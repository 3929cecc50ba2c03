// `{1, 2, 3}` as a std::initializer_list inside a co_await expression: GCC 12 refuses to compile it. A named list is
// accepted everywhere.
#include "mini_task.hpp"

#include <initializer_list>

using mini::task;

namespace {

task<int> sum(std::initializer_list<int> values) {
  int total = 0;
  for (int value : values) total += value;
  co_return total;
}

task<int> pass_list() {
#if defined(NAMED)
  std::initializer_list<int> values = {1, 2, 4};
  int total = co_await sum(values);
#else
  int total = co_await sum({1, 2, 4});
#endif
  co_return total;
}

}  // namespace

int main() { return pass_list().run() == 7 ? 0 : 1; }
