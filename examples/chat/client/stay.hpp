// A stay in a room, and who decides what happens in it.
#pragma once

#include "chat.pb.h"

#include <rill/client/bidi_stream.hpp>
#include <rill/coro/task.hpp>
#include <rill/fwd.hpp>
#include <rill/rpc/metadata.hpp>
#include <rill/rpc/status.hpp>

#include <string>

namespace chat {

using stay_stream = rill::bidi_stream<v1::MemberEvent, v1::RoomEvent>;

/// Acts for the member: the person at the keyboard, or a script.
class actor {
 public:
  actor() = default;
  actor(const actor&) = delete;
  actor& operator=(const actor&) = delete;
  virtual ~actor() = default;

  /// The room to go to next; empty to end.
  virtual rill::task<std::string> next_room() = 0;
  /// Speaks in a room, until it is time to leave.
  virtual rill::task<> act(stay_stream& room) = 0;
  /// Waits until the actor wants to hear more.
  virtual rill::task<> listening() = 0;
  /// Something happened.
  virtual void heard(const v1::RoomEvent& event) = 0;
  /// The server ended the stay; whether that is all right.
  virtual rill::task<bool> sent_away(rill::status_error why) = 0;
};

/// Goes from room to room as `who` wishes. `identity` is sent with every call.
rill::task<> visit_rooms(const rill::client& client, const rill::metadata& identity, actor& who);

}  // namespace chat
