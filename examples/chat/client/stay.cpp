// Listening and speaking go on side by side, over one stream.
#include "stay.hpp"

#include "chat.grpc.pb.h"

#include <rill/client/client.hpp>
#include <rill/coro/when_any.hpp>

#include <optional>
#include <utility>

namespace chat {

namespace {

rill::task<> hear(stay_stream& room, actor& who) {
  v1::RoomEvent event;
  co_await who.listening();
  while (co_await room.read(event)) {
    who.heard(event);
    co_await who.listening();
  }
}

rill::task<> stay(const rill::client& client, const rill::metadata& identity, std::string name, actor& who) {
  auto room = client.call<&v1::Chat::Service::Stay>({.metadata = &identity});
  v1::MemberEvent join;
  join.mutable_join()->set_room(std::move(name));
  co_await room.write(join);
  // If the server ends the stay, hear() throws why. If the member leaves, act() ends.
  co_await rill::when_any(hear(room, who), who.act(room));
  co_await room.writes_done();
  co_await hear(room, who);
}

}  // namespace

rill::task<> visit_rooms(const rill::client& client, const rill::metadata& identity, actor& who) {
  std::string room = co_await who.next_room();
  while (!room.empty()) {
    std::optional<rill::status_error> sent_away;
    try {
      co_await stay(client, identity, std::move(room), who);
    } catch (const rill::status_error& why) {
      sent_away = why;  // nothing can be awaited in a handler
    }
    if (sent_away) {
      const bool expected = co_await who.sent_away(*sent_away);
      if (!expected) throw *sent_away;
    }
    room = co_await who.next_room();
  }
}

}  // namespace chat
