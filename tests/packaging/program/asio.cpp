// A program that uses rill with standalone Asio: a rill task that awaits an Asio timer.
#include <rill/asio/spawn.hpp>
#include <rill/asio/use_task.hpp>

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <cstdio>

namespace {

rill::task<> wait_once(asio::io_context& io, bool& done) {
  asio::steady_timer timer{io, std::chrono::milliseconds(1)};
  co_await timer.async_wait(rill::use_task);
  done = true;
}

}  // namespace

int main() {
  asio::io_context io;
  bool done = false;
  rill::spawn(io, wait_once(io, done));
  io.run();
  if (!done) return 1;
  std::puts("asio works");
}
