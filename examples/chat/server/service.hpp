// The service: one handler, which is one member's stay in one room.
#pragma once

#include "chat.pb.h"
#include "identity.hpp"
#include "lobby.hpp"

#include <rill/coro/task.hpp>
#include <rill/server/reader.hpp>
#include <rill/server/server_context.hpp>
#include <rill/server/writer.hpp>

#include <chrono>

namespace chat {

struct service_options {
  std::chrono::nanoseconds join_limit = std::chrono::seconds{10};  ///< To say which room.
  std::chrono::nanoseconds stall_limit =
      std::chrono::seconds{30};  ///< To take one event, if members are sent away.
};

class service {
 public:
  service(const token_book& tokens, lobby& rooms, bool send_slow_away, service_options options = {})
      : tokens_{tokens}, lobby_{rooms}, send_slow_away_{send_slow_away}, options_{options} {}

  rill::task<> stay(rill::server_context& context, rill::reader<v1::MemberEvent>& in,
                    rill::writer<v1::RoomEvent>& out);

 private:
  rill::task<std::string> joined_room(rill::reader<v1::MemberEvent>& in);

  const token_book& tokens_;
  lobby& lobby_;
  const bool send_slow_away_;
  const service_options options_;
};

}  // namespace chat
