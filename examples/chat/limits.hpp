// What a chat accepts. The server enforces it; the client looks first, to spare its user a closed stream.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace chat {

inline constexpr std::size_t max_room_name = 32;
inline constexpr std::size_t max_text = 2000;
/// Of one message on the wire: more than any good event needs.
inline constexpr std::size_t max_event = 4096;

/// Why `name` cannot be a room's; empty if it can.
[[nodiscard]] std::string wrong_with_room(std::string_view name);
/// Why `text` cannot be said; empty if it can.
[[nodiscard]] std::string wrong_with_text(std::string_view text);

/// `text` with everything taken out that could move a terminal's cursor or change its colours.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace chat
