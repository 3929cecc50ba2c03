// What rill's toolkit costs, case by case beside the same work in Asio.
#include "rill/coro/async_generator.hpp"
#include "rill/coro/cancellation.hpp"
#include "rill/coro/channel.hpp"
#include "rill/coro/select.hpp"
#include "rill/coro/semaphore.hpp"
#include "rill/coro/sleep.hpp"
#include "rill/coro/sync_wait.hpp"
#include "rill/coro/task.hpp"
#include "rill/coro/when_all.hpp"
#include "rill/coro/with_timeout.hpp"
#include "second_thread.hpp"

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace {

using bench::second_thread;

/// Runs a coroutine over the benchmark's state to its end on a loop of its own.
template <typename Body>
void run(Body body) {
  const second_thread other;
  rill::sync_wait(body());
}

rill::task<int> answer(int value) { co_return value; }

void rill_task_await(benchmark::State& state) {
  run([&]() -> rill::task<> {
    int sum = 0;
    for (auto _ : state) sum += co_await answer(1);
    benchmark::DoNotOptimize(sum);
  });
}
BENCHMARK(rill_task_await);

/// One item through: sent while there is room, received while there is an item.
void rill_channel_item(benchmark::State& state) {
  run([&]() -> rill::task<> {
    rill::channel<int> channel{64};
    int sum = 0;
    for (auto _ : state) {
      co_await channel.send(1);
      sum += *co_await channel.receive();
    }
    benchmark::DoNotOptimize(sum);
  });
}
BENCHMARK(rill_channel_item);

/// A producer and a consumer on one loop, with a queue between them that fills and drains.
void rill_channel_stream(benchmark::State& state) {
  rill::channel<int> channel{static_cast<std::size_t>(state.range(0))};
  auto produce = [&]() -> rill::task<> {
    bool open = true;
    while (open) open = co_await channel.send(1);
  };
  auto consume = [&]() -> rill::task<> {
    int sum = 0;
    for (auto _ : state) sum += *co_await channel.receive();
    benchmark::DoNotOptimize(sum);
    channel.close();
  };
  run([&]() -> rill::task<> { co_await rill::when_all(produce(), consume()); });
}
BENCHMARK(rill_channel_stream)->Arg(1)->Arg(64);

/// Receive or timer, whichever is first; an item is always there.
void rill_select(benchmark::State& state) {
  run([&]() -> rill::task<> {
    rill::channel<int> channel{64};
    for (auto _ : state) {
      co_await channel.send(1);
      auto first = co_await rill::select(channel.receive(), rill::sleep_for(std::chrono::seconds(1)));
      benchmark::DoNotOptimize(first);
    }
  });
}
BENCHMARK(rill_select);

/// Receive or timer, where the item comes only after the wait began: the timer is armed and taken back.
void rill_select_waiting(benchmark::State& state) {
  rill::channel<int> channel{1};
  auto produce = [&]() -> rill::task<> {
    bool open = true;
    while (open) open = co_await channel.send(1);
  };
  auto consume = [&]() -> rill::task<> {
    for (auto _ : state) {
      auto first = co_await rill::select(channel.receive(), rill::sleep_for(std::chrono::seconds(1)));
      benchmark::DoNotOptimize(first);
    }
    channel.close();
  };
  run([&]() -> rill::task<> { co_await rill::when_all(produce(), consume()); });
}
BENCHMARK(rill_select_waiting);

/// A timer is armed around work that is done at once, and taken back.
void rill_with_timeout(benchmark::State& state) {
  run([&]() -> rill::task<> {
    int sum = 0;
    for (auto _ : state) sum += co_await rill::with_timeout(std::chrono::seconds(1), answer(1));
    benchmark::DoNotOptimize(sum);
  });
}
BENCHMARK(rill_with_timeout);

/// Two tasks side by side.
void rill_when_all(benchmark::State& state) {
  run([&]() -> rill::task<> {
    for (auto _ : state) {
      auto both = co_await rill::when_all(answer(1), answer(2));
      benchmark::DoNotOptimize(both);
    }
  });
}
BENCHMARK(rill_when_all);

rill::async_generator<int> count_up() {
  for (int i = 0;; ++i) co_yield i;
}

void rill_generator_item(benchmark::State& state) {
  run([&]() -> rill::task<> {
    auto numbers = count_up();
    int sum = 0;
    for (auto _ : state) sum += *co_await numbers.next_ref();
    benchmark::DoNotOptimize(sum);
  });
}
BENCHMARK(rill_generator_item);

void rill_semaphore_acquire(benchmark::State& state) {
  run([&]() -> rill::task<> {
    rill::semaphore permits{1};
    for (auto _ : state) {
      co_await permits.acquire();
      permits.release();
    }
  });
}
BENCHMARK(rill_semaphore_acquire);

/// A cancellation callback is registered and taken back.
void rill_cancellation_callback(benchmark::State& state) {
  const second_thread other;
  rill::cancellation_source source;
  int calls = 0;
  for (auto _ : state) {
    const rill::cancellation_callback callback{source.token(), [&] { ++calls; }};
    benchmark::DoNotOptimize(calls);
  }
}
BENCHMARK(rill_cancellation_callback);

}  // namespace

BENCHMARK_MAIN();
