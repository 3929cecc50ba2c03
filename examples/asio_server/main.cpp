// asio_server: one io_context, one thread, two protocols. asio_server [TCP-PORT [GRPC-ADDRESS]]
#include "lines.hpp"
#include "service.hpp"
#include "store.hpp"

#include <rill/asio.hpp>
#include <rill/rill.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/signal_set.hpp>
#include <asio/strand.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

namespace {

/// Waits for a signal, then stops both servers. The context goes on meanwhile, since calls are finished on it.
rill::task<> stop_on_signal(asio::io_context& io, rill::server& server, asio::ip::tcp::acceptor& acceptor) {
  asio::signal_set signals{io, SIGINT, SIGTERM};
  co_await signals.async_wait(rill::use_task);
  acceptor.close();
  auto stop = [&server] { server.shutdown(std::chrono::seconds{5}); };
  co_await rill::run_blocking(stop);
  io.stop();  // connections of the line protocol end here
}

}  // namespace

int main(int argc, char** argv) try {
  const auto port = static_cast<unsigned short>(argc > 1 ? std::atoi(argv[1]) : 50060);
  const char* address = argc > 2 ? argv[2] : "127.0.0.1:50061";

  asio::io_context io;
  const auto strand =
      asio::make_strand(io);  // one thread runs `io` here; the code is right with several as well
  shared_store shared;

  asio::ip::tcp::acceptor acceptor{strand, {asio::ip::make_address("127.0.0.1"), port}};
  asio::co_spawn(strand, serve_lines(acceptor, shared), asio::detached);

  rill::server server;
  server.listen(address);
  add_store_service(server, strand, shared);
  server.start();

  std::printf("lines on port %d\n", acceptor.local_endpoint().port());
  std::printf("listening on port %d\n", server.port());
  std::fflush(stdout);

  rill::spawn(strand, stop_on_signal(io, server, acceptor));
  io.run();
  std::puts("stopped");
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
