// The person at the keyboard, or a pipe in its place.
#pragma once

#include "stay.hpp"
#include "terminal.hpp"

#include <rill/coro/channel.hpp>

#include <string>

namespace chat {

class typist final : public actor {
 public:
  typist(terminal& screen, rill::channel<std::string>& lines, std::string room)
      : screen_{screen}, lines_{lines}, next_room_{std::move(room)} {}

  rill::task<std::string> next_room() override;
  rill::task<> act(stay_stream& room) override;
  rill::task<> listening() override;
  void heard(const v1::RoomEvent& event) override;
  rill::task<bool> sent_away(rill::status_error why) override;

 private:
  void show_help();

  terminal& screen_;
  rill::channel<std::string>& lines_;
  std::string next_room_;
};

}  // namespace chat
