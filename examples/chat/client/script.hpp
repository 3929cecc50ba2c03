// A member that follows a script: for tests and demonstrations. Steps wait for events, never for time.
#pragma once

#include "stay.hpp"
#include "terminal.hpp"

#include <rill/coro/channel.hpp>
#include <rill/coro/event.hpp>

#include <chrono>
#include <deque>
#include <string>

namespace chat {

/// The steps, one a line; empty lines and lines that begin with # say nothing.
///
///   join ROOM         enters a room
///   say TEXT          says it, unchecked
///   who               asks who is here
///   expect TEXT       waits for a line with this text, after the one that the last `expect` found
///   stop-reading      takes no more events: a slow member
///   read-on           takes them again
///   leave             leaves the room; so does the end of the script
///   expect-end TEXT   waits until the server ends the stay with a status that has this text; the one step that may
///                     come after that has happened
class script final : public actor {
 public:
  script(terminal& screen, rill::channel<std::string>& steps, std::chrono::nanoseconds patience)
      : screen_{screen}, steps_{steps}, patience_{patience} {}

  rill::task<std::string> next_room() override;
  rill::task<> act(stay_stream& room) override;
  rill::task<> listening() override;
  void heard(const v1::RoomEvent& event) override;
  rill::task<bool> sent_away(rill::status_error why) override;

 private:
  struct step {
    std::string verb;
    std::string rest;
  };

  rill::task<bool> next_step();
  rill::task<> expect();
  rill::task<> find_line(std::string text);
  [[noreturn]] void fail(const std::string& why) const;

  terminal& screen_;
  rill::channel<std::string>& steps_;
  const std::chrono::nanoseconds patience_;
  int line_ = 0;
  step now_;
  std::deque<std::string> unmatched_;  // lines that came, and that no `expect` has looked at
  rill::event more_;
  rill::event reading_;
};

}  // namespace chat
