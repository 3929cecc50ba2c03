// A program that uses the coroutine toolkit alone.
#include <rill/coro/channel.hpp>
#include <rill/coro/sync_wait.hpp>
#include <rill/coro/task.hpp>

#include <cstdio>
#include <optional>

namespace {

rill::task<int> through_a_channel() {
  rill::channel<int> numbers{1};
  co_await numbers.send(42);
  std::optional<int> number = co_await numbers.receive();
  co_return number.value_or(0);
}

}  // namespace

int main() {
  if (rill::sync_wait(through_a_channel()) != 42) return 1;
  std::puts("toolkit works");
}
