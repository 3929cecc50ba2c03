// use_task: any Asio operation in a rill task: results, errors, cancellation, and contexts that end first.
#include "rill/asio/use_task.hpp"

#include "rill/asio/async_run.hpp"
#include "rill/asio/spawn.hpp"
#include "rill/coro/sync_wait.hpp"
#include "rill/coro/when_all.hpp"
#include "rill/coro/when_any.hpp"
#include "rill/coro/with_cancellation.hpp"
#include "rill/coro/with_timeout.hpp"
#include "rill/coro/yield.hpp"
#include "support.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/experimental/channel.hpp>
#include <asio/experimental/concurrent_channel.hpp>
#include <asio/experimental/parallel_group.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/read_until.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

namespace {

using namespace std::chrono_literals;
using namespace rill_test;
using asio::ip::tcp;
using rill::task;

/// Two ends of a connection over the loopback.
task<std::pair<tcp::socket, tcp::socket>> connected(asio::io_context& io) {
  tcp::acceptor acceptor{io, {asio::ip::make_address("127.0.0.1"), 0}};
  tcp::socket client{io};
  std::optional<tcp::socket> server;
  const auto accept = [&]() -> task<> { server = co_await acceptor.async_accept(rill::use_task); };
  const auto connect = [&]() -> task<> {
    co_await client.async_connect(acceptor.local_endpoint(), rill::use_task);
  };
  co_await rill::when_all(accept(), connect());
  co_return std::pair{std::move(client), std::move(*server)};
}

template <class F>
void run_on_context(F body) {
  asio::io_context io;
  bool done = false;
  rill::spawn(io, [&]() -> task<> {
    co_await body(io);
    done = true;
  });
  io.run();
  CHECK(done);
}

}  // namespace

TEST_CASE("use_task: sockets, and composed operations on them") {
  run_on_context([](asio::io_context& io) -> task<> {
    auto [client, server] = co_await connected(io);
    const std::string sent(200000, 'x');
    std::string got(sent.size(), ' ');
    const auto write = [&]() -> task<std::size_t> {
      co_return co_await asio::async_write(client, asio::buffer(sent), rill::use_task);
    };
    const auto read = [&]() -> task<std::size_t> {
      co_return co_await asio::async_read(server, asio::buffer(got), rill::use_task);
    };
    const auto [written, received] = co_await rill::when_all(write(), read());
    CHECK(written == sent.size());
    CHECK(received == sent.size());
    CHECK(got == sent);

    co_await asio::async_write(client, asio::buffer("one line\nrest", 13), rill::use_task);
    std::string line;
    const std::size_t length =
        co_await asio::async_read_until(server, asio::dynamic_buffer(line), '\n', rill::use_task);
    CHECK(line.substr(0, length) == "one line\n");
  });
}

TEST_CASE("use_task: an error is thrown, and is a value where that is wanted") {
  run_on_context([](asio::io_context& io) -> task<> {
    auto [client, server] = co_await connected(io);
    client.close();
    char byte = 0;
    std::error_code thrown;
    try {
      co_await server.async_read_some(asio::buffer(&byte, 1), rill::use_task);
    } catch (const std::system_error& failed) {
      thrown = failed.code();
    }
    CHECK(thrown == asio::error::eof);
    const auto [error, size] = co_await server.async_read_some(asio::buffer(&byte, 1), rill::use_task_tuple);
    CHECK(error == asio::error::eof);
    CHECK(size == 0);
    server.close();
    const auto [again, none] =
        co_await server.async_read_some(asio::buffer(&byte, 1), rill::asio_names::as_tuple(rill::use_task));
    CHECK(again == asio::error::bad_descriptor);
    CHECK(none == 0);
  });
}

TEST_CASE("use_task: resolvers, signals, functions and Asio's own coroutines") {
  run_on_context([](asio::io_context& io) -> task<> {
    tcp::resolver resolver{io};
    const auto found =
        co_await resolver.async_resolve("127.0.0.1", "80", tcp::resolver::numeric_service, rill::use_task);
    CHECK(found.begin()->endpoint().port() == 80);

    asio::signal_set signals{io, SIGUSR1};
    std::raise(SIGUSR1);
    const int signal = co_await signals.async_wait(rill::use_task);
    CHECK(signal == SIGUSR1);

    co_await asio::post(io, rill::use_task);

    const auto answer = [&]() -> asio::awaitable<int> {
      asio::steady_timer timer{io, 1ms};
      co_await timer.async_wait(asio::use_awaitable);
      co_return 42;
    };
    const int value = co_await asio::co_spawn(io, answer(), rill::use_task);
    CHECK(value == 42);
    const auto fail = []() -> asio::awaitable<int> {
      throw std::runtime_error{"as expected"};
      co_return 0;
    };
    std::string what;
    try {
      co_await asio::co_spawn(io, fail(), rill::use_task);
    } catch (const std::runtime_error& failed) {
      what = failed.what();
    }
    CHECK(what == "as expected");
  });
}

TEST_CASE("use_task: Asio's channels and groups") {
  run_on_context([](asio::io_context& io) -> task<> {
    asio::experimental::channel<void(asio::error_code, int)> numbers{io, 1};
    const auto send = [&]() -> task<> {
      for (int i = 0; i < 10; ++i) co_await numbers.async_send(asio::error_code{}, i, rill::use_task);
      numbers.close();
    };
    const auto receive = [&]() -> task<int> {
      int sum = 0;
      for (;;) {
        const auto [error, number] = co_await numbers.async_receive(rill::use_task_tuple);
        if (error) co_return sum;
        sum += number;
      }
    };
    const auto results = co_await rill::when_all(send(), receive());
    CHECK(std::get<1>(results) == 45);

    asio::steady_timer soon{io, 1ms};
    asio::steady_timer late{io, 1h};
    const auto [order, first, second] =
        co_await asio::experimental::make_parallel_group(soon.async_wait(rill::asio_names::deferred),
                                                         late.async_wait(rill::asio_names::deferred))
            .async_wait(asio::experimental::wait_for_one(), rill::use_task);
    CHECK(order[0] == 0);
    CHECK_FALSE(first);
    CHECK(second == asio::error::operation_aborted);
  });
}

TEST_CASE("use_task: an operation under a timeout is cancelled and awaited") {
  run_on_context([](asio::io_context& io) -> task<> {
    auto [client, server] = co_await connected(io);
    std::string got(10, ' ');
    bool late = false;
    try {
      co_await rill::with_timeout(2ms, asio::async_read(server, asio::buffer(got), rill::use_task));
    } catch (const rill::timeout_error&) {
      late = true;
    }
    CHECK(late);
    // The socket is as usable as before.
    co_await asio::async_write(client, asio::buffer("0123456789", 10), rill::use_task);
    CHECK(co_await asio::async_read(server, asio::buffer(got), rill::use_task) == 10);
    CHECK(got == "0123456789");
  });
}

TEST_CASE("use_task: a tripped token ends every kind of operation, and is no error code") {
  rill::cancellation_source stop;
  asio::io_context io;
  int ended = 0;
  const auto cancelled = [&](auto& operation) -> task<> {
    try {
      co_await operation();
    } catch (const rill::operation_cancelled&) {
      ++ended;
    }
  };
  asio::steady_timer timer{io, 1h};
  asio::experimental::channel<void(asio::error_code, int)> numbers{io, 1};
  tcp::acceptor acceptor{io, {asio::ip::make_address("127.0.0.1"), 0}};
  asio::signal_set signals{io, SIGUSR2};
  auto on_timer = [&]() -> task<> { co_await timer.async_wait(rill::use_task); };
  auto on_channel = [&]() -> task<> { co_await numbers.async_receive(rill::use_task); };
  auto on_accept = [&]() -> task<> { co_await acceptor.async_accept(rill::use_task_tuple); };
  auto on_signal = [&]() -> task<> { co_await signals.async_wait(rill::use_task); };
  auto on_coroutine = [&]() -> task<> {
    const auto forever = [&]() -> asio::awaitable<void> {
      asio::steady_timer other{io, 1h};
      co_await other.async_wait(asio::use_awaitable);
    };
    co_await asio::co_spawn(io, forever(), rill::use_task);
  };
  rill::spawn(
      io,
      [&]() -> task<> {
        co_await rill::when_all(cancelled(on_timer), cancelled(on_channel), cancelled(on_accept),
                                cancelled(on_signal), cancelled(on_coroutine));
      },
      stop.token());
  SUBCASE("while they wait") {
    io.poll();
    CHECK(ended == 0);
    stop.cancel();
  }
  SUBCASE("before they start") { stop.cancel(); }
  SUBCASE("from another thread, at any moment") {
    std::thread other{[&] { stop.cancel(); }};
    io.run();
    other.join();
  }
  io.run();
  CHECK(ended == 5);
}

TEST_CASE("use_task: a result that was there before the cancellation is delivered") {
  asio::io_context io;
  rill::cancellation_source stop;
  bool got = false;
  rill::spawn(
      io,
      [&]() -> task<> {
        co_await asio::post(io, rill::use_task);
        got = true;
      },
      stop.token());
  io.run_one();  // the task starts
  stop.cancel();
  io.run();
  CHECK(got);
}

TEST_CASE("use_task: in a task on a loop, which resumes there") {
  running_context context{2};
  const std::thread::id here = std::this_thread::get_id();
  rill::sync_wait([&]() -> task<> {
    asio::steady_timer timer{context.io(), 1ms};
    co_await timer.async_wait(rill::use_task);
    CHECK(std::this_thread::get_id() == here);
    asio::experimental::concurrent_channel<void(asio::error_code, int)> numbers{context.io(), 1};
    const auto receive = [&]() -> task<int> { co_return co_await numbers.async_receive(rill::use_task); };
    const auto send = [&]() -> task<> { co_await numbers.async_send(asio::error_code{}, 7, rill::use_task); };
    const auto results = co_await rill::when_all(receive(), send());
    CHECK(std::get<0>(results) == 7);
    CHECK(std::this_thread::get_id() == here);
    bool late = false;
    try {
      timer.expires_after(1h);
      co_await rill::with_timeout(1ms, timer.async_wait(rill::use_task));
    } catch (const rill::timeout_error&) {
      late = true;
    }
    CHECK(late);
  }());
}

TEST_CASE("use_task: on one context for a task of another") {
  running_context other;
  asio::io_context io;
  const std::thread::id here = std::this_thread::get_id();
  bool done = false;
  rill::spawn(io, [&]() -> task<> {
    for (int i = 0; i < 10; ++i) {
      co_await asio::post(other.io(), rill::use_task);
      CHECK(std::this_thread::get_id() == here);
      asio::steady_timer timer{other.io(), 100us};
      co_await timer.async_wait(rill::use_task);
      CHECK(std::this_thread::get_id() == here);
    }
    done = true;
  });
  io.run();
  CHECK(done);
}

TEST_CASE("use_task: a context that is destroyed under an operation ends the wait of a task elsewhere") {
  auto io = std::make_unique<asio::io_context>();
  const auto wait_here = [](asio::io_context& context) -> asio::awaitable<void> {
    asio::steady_timer timer{context, 1h};
    co_await timer.async_wait(asio::use_awaitable);
  };
  std::error_code seen;
  const auto wait_for_it = [&]() -> task<> {
    try {
      co_await asio::co_spawn(*io, wait_here(*io), rill::use_task);
    } catch (const std::system_error& failed) {
      seen = failed.code();
    }
  };
  std::thread destroyer;
  SUBCASE("on an executor") {
    asio::io_context home;
    rill::spawn(home, wait_for_it);
    home.poll();
    io->poll();
    destroyer = std::thread{[&] { io.reset(); }};
    home.run();
  }
  SUBCASE("on a loop") {
    rill::sync_wait([&]() -> task<> {
      const auto destroy = [&]() -> task<> {
        destroyer = std::thread{[&] {
          io->poll();
          io.reset();
        }};
        co_return;
      };
      co_await rill::when_all(wait_for_it(), destroy());
    }());
  }
  destroyer.join();
  CHECK(seen == asio::error::operation_aborted);
}

TEST_CASE("use_task: many waits that race their cancellation") {
  std::atomic<int> ended{0};
  running_context context{2};
  const int rounds = stress(300);
  for (int i = 0; i < 4; ++i) {
    rill::spawn(context.io(), [&, i]() -> task<> {
      for (int round = 0; round < rounds; ++round) {
        asio::steady_timer timer{context.io(), std::chrono::microseconds(round % 40)};
        try {
          co_await rill::with_timeout(std::chrono::microseconds((round + 7 * i) % 40),
                                      timer.async_wait(rill::use_task));
        } catch (const rill::timeout_error&) {
        }
        ended.fetch_add(1);
      }
    });
  }
  context.finish();
  CHECK(ended == 4 * rounds);
}
