// Whatever others wrote goes through printable(): a message must not be able to command the reader's terminal.
#include "render.hpp"

#include "../limits.hpp"

#include <ctime>

namespace chat {

namespace {

constexpr const char* plain = "\x1b[0m";
constexpr const char* dim = "\x1b[2m";
constexpr const char* yellow = "\x1b[33m";

std::string in(const char* colour, const std::string& text, bool colours) {
  return colours ? colour + text + plain : text;
}

/// A member always has the same colour.
std::string name_of(const std::string& member, bool colours) {
  static constexpr const char* palette[] = {"\x1b[31m", "\x1b[32m", "\x1b[34m",
                                            "\x1b[35m", "\x1b[36m", "\x1b[91m"};
  unsigned sum = 0;
  for (const char c : member) sum = sum * 31 + static_cast<unsigned char>(c);
  return in(palette[sum % 6], printable(member), colours);
}

/// The time of day; the date as well if it is not today's.
std::string when(std::int64_t unix_seconds) {
  const std::time_t moment = unix_seconds;
  const std::time_t now = std::time(nullptr);
  std::tm then{};
  std::tm today{};
  localtime_r(&moment, &then);
  localtime_r(&now, &today);
  const bool same_day = then.tm_yday == today.tm_yday && then.tm_year == today.tm_year;
  char text[32];
  return {text, std::strftime(text, sizeof text, same_day ? "%H:%M" : "%Y-%m-%d %H:%M", &then)};
}

std::string line_of(const v1::Said& said, bool colours) {
  return in(dim, when(said.unix_seconds()), colours) + " " + name_of(said.member(), colours) + ": " +
         printable(said.text());
}

template <class Names>
std::string list(const Names& names, const std::string& except) {
  std::string text;
  for (const std::string& name : names) {
    if (name == except) continue;
    if (!text.empty()) text += ", ";
    text += printable(name);
  }
  return text;
}

std::string line_of(const v1::Welcome& welcome, bool colours) {
  std::string text;
  for (const v1::Said& said : welcome.past()) text += line_of(said, colours) + "\n";
  const std::string others = list(welcome.present(), welcome.you());
  return text + in(dim,
                   "* you are " + printable(welcome.you()) + " in #" + printable(welcome.room()) +
                       (others.empty() ? ", alone" : ", with " + others),
                   colours);
}

}  // namespace

std::string render(const v1::RoomEvent& event, bool colours) {
  const auto note = [&](const std::string& text) { return in(dim, "* " + text, colours); };
  const auto warning = [&](const std::string& text) { return in(yellow, "! " + text, colours); };
  switch (event.event_case()) {
    case v1::RoomEvent::kWelcome:
      return line_of(event.welcome(), colours);
    case v1::RoomEvent::kSaid:
      return line_of(event.said(), colours);
    case v1::RoomEvent::kJoined:
      return note(printable(event.joined().member()) + " joined");
    case v1::RoomEvent::kLeft:
      return note(printable(event.left().member()) + " left");
    case v1::RoomEvent::kPresent:
      return note("here are " + list(event.present().members(), {}));
    case v1::RoomEvent::kMissed:
      return warning("you missed " + std::to_string(event.missed().events()) +
                     (event.missed().events() == 1 ? " event" : " events") + ": you read too slowly");
    case v1::RoomEvent::kClosing:
      return warning(printable(event.closing().reason()));
    case v1::RoomEvent::EVENT_NOT_SET:
      break;
  }
  return note("an event that this client does not know");
}

}  // namespace chat
