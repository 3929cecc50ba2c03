// chat_server: serves rooms.
#include "../flags.hpp"
#include "../limits.hpp"
#include "chat.grpc.pb.h"
#include "history.hpp"
#include "identity.hpp"
#include "lobby.hpp"
#include "service.hpp"

#include <rill/server/server.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

namespace {

constexpr const char* usage = R"(chat_server --tokens FILE [flags]: serves chat rooms
  --tokens FILE         who may come: lines of a name and a token
  --listen ADDRESS      default 127.0.0.1:50052; port 0 takes any free port
  --history FILE        default chat.db; :memory: keeps nothing
  --past COUNT          messages of the history that a newcomer gets; default 50
  --queue COUNT         events that may wait for one member; default 64
  --slow drop|away      a member that is slower misses events, or is sent away; default drop
  --stall-limit SECONDS with --slow away: cuts off who takes nothing for so long; default 30
)";

int serve(int argc, char** argv) {
  chat::flags flags{argc, argv};
  if (flags.take_switch("help")) return std::fputs(usage, stdout) < 0;
  const std::string tokens_file = flags.take("tokens");
  const std::string address = flags.take("listen", "127.0.0.1:50052");
  const std::string history_file = flags.take("history", "chat.db");
  const std::string slow = flags.take("slow", "drop");
  chat::room_options rooms;
  rooms.history = static_cast<unsigned>(flags.take_number("past", rooms.history));
  rooms.queue = static_cast<std::size_t>(flags.take_number("queue", rooms.queue));
  rooms.drop_oldest = slow == "drop";
  chat::service_options limits;
  limits.stall_limit = std::chrono::seconds{flags.take_number("stall-limit", 30)};
  if (tokens_file.empty()) throw chat::flag_error{"--tokens is needed: nobody could come in"};
  if (slow != "drop" && slow != "away") throw chat::flag_error{"--slow is drop or away"};
  if (rooms.queue == 0) throw chat::flag_error{"--queue must be at least 1"};
  if (!flags.rest().empty()) throw chat::flag_error{"there are flags only"};

  chat::token_book tokens;
  tokens.add_file(tokens_file);
  if (tokens.empty()) throw chat::flag_error{tokens_file + " has no tokens"};
  chat::history history{history_file};
  chat::lobby lobby{history, rooms};
  chat::service service{tokens, lobby, !rooms.drop_oldest, limits};

  rill::server server{{.max_receive_size = chat::max_event}};
  server.listen(address);
  // A short write queue: what waits for a slow member waits in the room's queue, where the policy applies.
  server.handle<&chat::v1::Chat::Service::Stay>(service, &chat::service::stay, {.queue = {.messages = 8}});
  server.configure([](grpc::ServerBuilder& builder) {
    // Notices a member whose machine or network is gone, although no connection was closed.
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  });
  server.start();
  std::printf("listening on port %d\n", server.port());
  server.run(std::chrono::seconds{5});
  std::puts("stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  try {
    return serve(argc, argv);
  } catch (const chat::flag_error& error) {
    std::fprintf(stderr, "chat_server: %s\n\n%s", error.what(), usage);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "chat_server: %s\n", error.what());
    return 1;
  }
}
