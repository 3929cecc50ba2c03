// What standalone Asio's coroutines and its experimental channel cost, as the measure for rill's toolkit.
#include "second_thread.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/as_tuple.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/experimental/channel.hpp>
#include <asio/experimental/concurrent_channel.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <benchmark/benchmark.h>

#include <chrono>

namespace {

using bench::second_thread;

/// Runs a coroutine over the benchmark's state to its end on an io_context of its own.
template <typename Body>
void run(Body body) {
  const second_thread other;
  asio::io_context io{1};
  asio::co_spawn(io, body(), asio::detached);
  io.run();
}

asio::awaitable<int> answer(int value) { co_return value; }

void asio_awaitable_await(benchmark::State& state) {
  run([&]() -> asio::awaitable<void> {
    int sum = 0;
    for (auto _ : state) sum += co_await answer(1);
    benchmark::DoNotOptimize(sum);
  });
}
BENCHMARK(asio_awaitable_await);

/// One item through: sent while there is room, received while there is an item.
template <typename Channel>
void one_item(benchmark::State& state) {
  const second_thread other;
  asio::io_context io{1};
  Channel channel(io, 64);
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        int sum = 0;
        for (auto _ : state) {
          co_await channel.async_send(asio::error_code{}, 1, asio::use_awaitable);
          sum += co_await channel.async_receive(asio::use_awaitable);
        }
        benchmark::DoNotOptimize(sum);
      },
      asio::detached);
  io.run();
}

void asio_channel_item(benchmark::State& state) {
  one_item<asio::experimental::channel<void(asio::error_code, int)>>(state);
}
BENCHMARK(asio_channel_item);

void asio_concurrent_channel_item(benchmark::State& state) {
  one_item<asio::experimental::concurrent_channel<void(asio::error_code, int)>>(state);
}
BENCHMARK(asio_concurrent_channel_item);

/// A producer and a consumer on one context, with a queue between them that fills and drains.
void asio_channel_stream(benchmark::State& state) {
  const second_thread other;
  asio::io_context io{1};
  using channel_type = asio::experimental::channel<void(asio::error_code, int)>;
  channel_type channel(io, static_cast<std::size_t>(state.range(0)));
  bool stop = false;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        while (!stop) co_await channel.async_send(asio::error_code{}, 1, asio::use_awaitable);
        channel.close();
      },
      asio::detached);
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        int sum = 0;
        for (auto _ : state) sum += co_await channel.async_receive(asio::use_awaitable);
        benchmark::DoNotOptimize(sum);
        stop = true;
        channel.cancel();
        channel.close();
      },
      [](std::exception_ptr) {});
  io.run();
}
BENCHMARK(asio_channel_stream)->Arg(1)->Arg(64);

/// Receive or timer, whichever is first; an item is always there.
void asio_select(benchmark::State& state) {
  const second_thread other;
  asio::io_context io{1};
  using channel_type = asio::experimental::channel<void(asio::error_code, int)>;
  channel_type channel(io, 64);
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        using namespace asio::experimental::awaitable_operators;
        asio::steady_timer timer(io);
        for (auto _ : state) {
          co_await channel.async_send(asio::error_code{}, 1, asio::use_awaitable);
          timer.expires_after(std::chrono::seconds(1));
          auto first =
              co_await (channel.async_receive(asio::use_awaitable) || timer.async_wait(asio::use_awaitable));
          benchmark::DoNotOptimize(first);
        }
      },
      asio::detached);
  io.run();
}
BENCHMARK(asio_select);

/// A timer is armed and cancelled before it fires.
void asio_timer_cancelled(benchmark::State& state) {
  run([&]() -> asio::awaitable<void> {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    for (auto _ : state) {
      timer.expires_after(std::chrono::seconds(1));
      timer.async_wait(asio::detached);
      timer.cancel();
    }
  });
}
BENCHMARK(asio_timer_cancelled);

}  // namespace

BENCHMARK_MAIN();
