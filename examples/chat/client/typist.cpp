// What lines mean: commands begin with a slash, anything else is said.
#include "typist.hpp"

#include "../limits.hpp"
#include "render.hpp"

#include <optional>
#include <utility>

namespace chat {

rill::task<std::string> typist::next_room() { co_return std::exchange(next_room_, {}); }

rill::task<> typist::act(stay_stream& room) {
  while (std::optional<std::string> line = co_await lines_.receive()) {
    if (line->empty()) continue;
    v1::MemberEvent event;
    if (*line == "/quit") {
      break;
    } else if (*line == "/help") {
      show_help();
      continue;
    } else if (*line == "/who") {
      event.mutable_who();
    } else if (line->starts_with("/join ")) {
      const std::string name = line->substr(6);
      const std::string wrong = wrong_with_room(name);
      if (!wrong.empty()) {
        screen_.show("! " + wrong);
        continue;
      }
      next_room_ = name;
      break;
    } else if (line->front() == '/') {
      screen_.show("! there is no such command; /help lists them");
      continue;
    } else {
      const std::string wrong = wrong_with_text(*line);
      if (!wrong.empty()) {
        screen_.show("! " + wrong);
        continue;
      }
      event.mutable_say()->set_text(*std::move(line));
    }
    if (!co_await room.write(event)) break;
  }
}

rill::task<> typist::listening() { co_return; }

void typist::heard(const v1::RoomEvent& event) { screen_.show(render(event, screen_.colours())); }

rill::task<bool> typist::sent_away(rill::status_error) { co_return false; }

void typist::show_help() {
  screen_.show(
      "  /who         who is here\n"
      "  /join ROOM   go to another room\n"
      "  /quit        leave; so do Ctrl-D and Ctrl-C\n"
      "  anything else is said to everybody in the room");
}

}  // namespace chat
