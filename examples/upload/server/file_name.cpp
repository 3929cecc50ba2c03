// A list of what is allowed would refuse most languages' letters, so this is a list of what is not.
#include "file_name.hpp"

#include <rill/rpc/status.hpp>

#include <string>

namespace upload {

namespace {

constexpr std::size_t longest = 200;  // most file systems stop at 255 bytes

[[noreturn]] void refuse(const std::string& why) {
  throw rill::status_error{rill::status_code::INVALID_ARGUMENT, "the file name " + why};
}

}  // namespace

void check_file_name(std::string_view name) {
  if (name.empty()) refuse("is empty");
  if (name.size() > longest) refuse("is longer than " + std::to_string(longest) + " bytes");
  if (name.front() == '.') refuse("begins with a dot");  // ".", "..", and hidden files such as our own
  for (const char c : name) {
    if (c == '/' || c == '\\') refuse("contains a path separator; only plain names are accepted");
    if (c == ':') refuse("contains a colon");  // drives and streams on Windows
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) refuse("contains a control character");
  }
  if (name.back() == ' ' || name.back() == '.') refuse("ends with a space or a dot");
}

}  // namespace upload
