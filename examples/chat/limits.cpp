// The checks. Texts are UTF-8, which protobuf has made sure of before they get here.
#include "limits.hpp"

namespace chat {

namespace {

/// How many bytes at `at` make a control character: 0 for none. Those of the C1 set take two bytes in UTF-8.
std::size_t control_at(std::string_view text, std::size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x20 || byte == 0x7f) return 1;
  if (byte != 0xc2 || at + 1 == text.size()) return 0;
  const auto second = static_cast<unsigned char>(text[at + 1]);
  return second >= 0x80 && second < 0xa0 ? 2 : 0;
}

}  // namespace

std::string wrong_with_room(std::string_view name) {
  if (name.empty()) return "a room needs a name";
  if (name.size() > max_room_name) {
    return "a room's name may have " + std::to_string(max_room_name) + " characters, this one has " +
           std::to_string(name.size());
  }
  for (const char c : name) {
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    if (!allowed) return "a room's name consists of a-z, 0-9 and -";
  }
  return {};
}

std::string wrong_with_text(std::string_view text) {
  if (text.empty()) return "there is nothing to say";
  if (text.size() > max_text) {
    return "a text may have " + std::to_string(max_text) + " bytes, this one has " +
           std::to_string(text.size());
  }
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (control_at(text, at) != 0) return "a text may not contain control characters";
  }
  return {};
}

std::string printable(std::string_view text) {
  std::string safe;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (const std::size_t skip = control_at(text, at)) {
      at += skip - 1;
    } else {
      safe += text[at];
    }
  }
  return safe;
}

}  // namespace chat
