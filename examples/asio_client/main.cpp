// asio_client: sets a key over the line protocol, then gets and watches it over gRPC.
// asio_client TCP-PORT GRPC-TARGET KEY VALUE
//
// The program is one of asio::awaitable coroutines, as it was before it learned gRPC; `get` and `first_change` are what was
// added.
#include "store.grpc.pb.h"

#include <rill/asio.hpp>
#include <rill/rill.hpp>

#include <asio/awaitable.hpp>
#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <utility>

using namespace store::v1;
using namespace std::chrono_literals;
using asio::ip::tcp;

// New: rill tasks, which call.

rill::task<std::string> get(rill::client& service, std::string key) {
  Key request;
  request.set_key(key);
  const Entry found = co_await service.call<&Store::Service::Get>(request, {.timeout = 5s});
  co_return found.value();
}

/// The first entry that the service shows of `key`.
rill::task<std::string> first_change(rill::client& service, std::string key) {
  auto entries = service.call<&Store::Service::Watch>(WatchRequest{});
  while (auto entry = co_await entries.read()) {
    if (entry->key() == key) co_return entry->value();
  }
  co_return std::string{};
}

// As before: Asio's coroutines.

asio::awaitable<std::string> ask(tcp::socket& socket, std::string line) {
  line += '\n';
  co_await asio::async_write(socket, asio::buffer(line), asio::use_awaitable);
  std::string reply;
  const std::size_t size =
      co_await asio::async_read_until(socket, asio::dynamic_buffer(reply), '\n', asio::use_awaitable);
  co_return reply.substr(0, size - 1);
}

asio::awaitable<void> work(unsigned short port, std::string target, std::string key, std::string value) {
  using namespace asio::experimental::awaitable_operators;
  const auto executor = co_await asio::this_coro::executor;

  tcp::socket socket{executor};
  co_await socket.async_connect({asio::ip::make_address("127.0.0.1"), port}, asio::use_awaitable);
  const std::string set = co_await ask(socket, "set " + key + " " + value);
  std::printf("lines: set %s: %s\n", key.c_str(), set.c_str());

  rill::client service{target};
  const std::string got = co_await rill::async_run(executor, get(service, key), asio::use_awaitable);
  std::printf("gRPC: %s = %s\n", key.c_str(), got.c_str());

  // Whichever comes first; the other one is cancelled, and so is the call on the server.
  asio::steady_timer patience{executor, 5s};
  const auto first = co_await (rill::async_run(executor, first_change(service, key), asio::use_awaitable) ||
                               patience.async_wait(asio::use_awaitable));
  std::printf("gRPC: watched %s\n", first.index() == 0 ? std::get<0>(first).c_str() : "in vain");

  try {
    co_await rill::async_run(executor, get(service, "no " + key), asio::use_awaitable);
  } catch (const rill::status_error& failed) {
    std::printf("gRPC: %s\n", failed.what());
  }
}

int main(int argc, char** argv) try {
  if (argc != 5) {
    std::fprintf(stderr, "asio_client TCP-PORT GRPC-TARGET KEY VALUE\n");
    return 2;
  }
  asio::io_context io;
  std::exception_ptr failed;
  asio::co_spawn(io, work(static_cast<unsigned short>(std::atoi(argv[1])), argv[2], argv[3], argv[4]),
                 [&](std::exception_ptr error) { failed = error; });
  io.run();
  if (failed) std::rethrow_exception(failed);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
