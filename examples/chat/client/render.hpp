// Events as people read them.
#pragma once

#include "chat.pb.h"

#include <string>

namespace chat {

/// One line, or several without an end of line at the end.
[[nodiscard]] std::string render(const v1::RoomEvent& event, bool colours);

}  // namespace chat
