// Which names a client may give its file.
#pragma once

#include <string_view>

namespace upload {

/// Accepts a plain file name, in UTF-8, that means the same thing on every system. Refuses whatever could leave the
/// folder, hide in it, or play tricks on a terminal.
/// Throws `rill::status_error` (INVALID_ARGUMENT) that says what is wrong.
void check_file_name(std::string_view name);

}  // namespace upload
