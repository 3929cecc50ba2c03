#include "lines.hpp"

#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/read_until.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <cstddef>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>

namespace {

std::string answer(const std::string& line, shared_store& shared) {
  std::istringstream words{line};
  std::string command;
  std::string key;
  std::string value;
  words >> command >> key >> std::ws;
  std::getline(words, value);
  if (command == "get" && !key.empty()) {
    const std::string* found = shared.get(key);
    return found != nullptr ? "= " + *found + "\n" : "! no such key\n";
  }
  if (command == "set" && !key.empty()) {
    shared.set(key, value);
    return "ok\n";
  }
  return "! get KEY, or set KEY VALUE\n";
}

asio::awaitable<void> serve(asio::ip::tcp::socket socket, shared_store& shared) {
  constexpr std::size_t longest_line = 4096;
  std::string input;
  try {
    for (;;) {
      const std::size_t size = co_await asio::async_read_until(
          socket, asio::dynamic_buffer(input, longest_line), '\n', asio::use_awaitable);
      const std::string reply = answer(input.substr(0, size - 1), shared);
      input.erase(0, size);
      co_await asio::async_write(socket, asio::buffer(reply), asio::use_awaitable);
    }
  } catch (const std::system_error&) {
    // The client has gone, or its line was too long.
  }
}

}  // namespace

asio::awaitable<void> serve_lines(asio::ip::tcp::acceptor& acceptor, shared_store& shared) {
  for (;;) {
    asio::ip::tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
    asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), shared), asio::detached);
  }
}
