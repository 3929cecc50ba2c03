// A room: its members, and the hub that brings every event to all of them.
#pragma once

#include "chat.pb.h"
#include "history.hpp"

#include <rill/coro/async_mutex.hpp>
#include <rill/coro/broadcast.hpp>
#include <rill/coro/task.hpp>
#include <rill/rpc/encoded.hpp>

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace chat {

struct room_options {
  std::size_t queue = 64;   ///< Events that may wait for one member.
  bool drop_oldest = true;  ///< A member that is slower than that misses events; false: it is sent away.
  unsigned history = 50;    ///< Things said before that a newcomer gets.
};

/// An event as it travels: serialised once, and one copy in memory for all members that have yet to get it.
using wire_event = rill::encoded<v1::RoomEvent>;

class seat;

/// *Concurrency*: any thread; members' calls run on several loops.
class room : public std::enable_shared_from_this<room> {
 public:
  room(std::string name, history& kept, room_options options)
      : name_{std::move(name)}, history_{kept}, options_{options} {}

  /// Takes a seat for `member`. From the seat's history on nothing is missing and nothing comes twice.
  rill::task<seat> enter(std::string member);
  /// Keeps what `member` says, then tells everybody.
  rill::task<> say(std::string member, std::string text);
  /// Who is here; a member with several seats counts once.
  [[nodiscard]] std::vector<std::string> present() const;

 private:
  friend class seat;

  rill::broadcast<wire_event>::subscription sit_down(const std::string& member, v1::Welcome& welcome);
  void stand_up(const std::string& member);
  void tell(const v1::RoomEvent& event);

  const std::string name_;
  history& history_;
  const room_options options_;
  rill::broadcast<wire_event> hub_;
  rill::async_mutex order_;   // what is kept and what is told have one order; held while the disk works
  mutable std::mutex mutex_;  // who is here; held for moments, with joined and left told under it
  std::map<std::string, unsigned> seats_;
};

/// A member's place in a room. Destroying it is leaving, however a stay ends.
class seat {
 public:
  seat(std::shared_ptr<room> in, std::string member, std::vector<v1::Said> past);
  seat(seat&&) noexcept = default;
  seat& operator=(seat&&) = delete;
  ~seat();

  [[nodiscard]] room& here() const noexcept { return *room_; }
  [[nodiscard]] const std::string& member() const noexcept { return member_; }
  /// The event that greets the member.
  [[nodiscard]] const v1::RoomEvent& welcome() const noexcept { return welcome_; }
  [[nodiscard]] rill::broadcast<wire_event>::subscription& events() noexcept { return events_; }

 private:
  std::shared_ptr<room> room_;
  std::string member_;
  v1::RoomEvent welcome_;
  rill::broadcast<wire_event>::subscription events_;
};

}  // namespace chat
