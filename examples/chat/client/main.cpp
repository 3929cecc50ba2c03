// chat: talks in the rooms of a chat_server.
#include "../flags.hpp"
#include "../limits.hpp"
#include "input.hpp"
#include "script.hpp"
#include "stay.hpp"
#include "terminal.hpp"
#include "typist.hpp"

#include <rill/client/client.hpp>
#include <rill/coro/sync_wait.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>

namespace {

constexpr const char* usage = R"(chat [flags] [ROOM]: talks in a room; default lobby
  --server TARGET       default 127.0.0.1:50052
  --token-file FILE     holds your token; default: the environment's CHAT_TOKEN
  --script FILE         follows a script, - for standard input; see client/script.hpp
  --patience SECONDS    that a step of a script may take; default 60
  --window BYTES        that the server may send ahead of reading; default: gRPC's choice
)";

/// Not a flag of its own: everybody on the machine can read the flags of a process.
std::string read_token(const std::string& file) {
  std::string token;
  if (!file.empty()) {
    std::ifstream in{file};
    if (!(in >> token)) throw std::runtime_error{"there is no token in " + file};
  } else if (const char* set = std::getenv("CHAT_TOKEN")) {
    token = set;
  } else {
    throw chat::flag_error{"set CHAT_TOKEN or give --token-file"};
  }
  return token;
}

int open_script(const std::string& file) {
  const int fd = file == "-" ? ::dup(STDIN_FILENO) : ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw std::system_error{errno, std::generic_category(), file};
  return fd;
}

int talk(int argc, char** argv) {
  chat::flags flags{argc, argv};
  if (flags.take_switch("help")) return std::fputs(usage, stdout) < 0;
  const std::string target = flags.take("server", "127.0.0.1:50052");
  const std::string token = read_token(flags.take("token-file"));
  const std::string script_file = flags.take("script");
  const std::chrono::seconds patience{flags.take_number("patience", 60)};
  const auto window = static_cast<std::size_t>(flags.take_number("window", 0));
  const std::vector<std::string> rooms = flags.rest();
  if (rooms.size() > 1) throw chat::flag_error{"name one room"};
  const std::string room = rooms.empty() ? "lobby" : rooms.front();
  if (const std::string wrong = chat::wrong_with_room(room); !wrong.empty()) throw chat::flag_error{wrong};

  const rill::client client{target, rill::client_options{.stream_window = window}};
  const rill::metadata identity{{"authorization", "Bearer " + token}};
  chat::terminal screen;
  const bool scripted = !script_file.empty();
  chat::input input{scripted ? open_script(script_file) : ::dup(STDIN_FILENO),
                    !scripted && screen.interactive() ? &screen : nullptr};
  std::unique_ptr<chat::actor> who;
  if (scripted) {
    who = std::make_unique<chat::script>(screen, input.lines(), patience);
  } else {
    who = std::make_unique<chat::typist>(screen, input.lines(), room);
    if (screen.interactive()) screen.show("connecting to " + target + "; /help lists the commands");
  }
  rill::sync_wait(chat::visit_rooms(client, identity, *who));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return talk(argc, argv);
  } catch (const chat::flag_error& error) {
    std::fprintf(stderr, "chat: %s\n\n%s", error.what(), usage);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "chat: %s\n", error.what());
    return 1;
  }
}
