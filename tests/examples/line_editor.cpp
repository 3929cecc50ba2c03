// The keyboard's bytes, and the line that comes of them.
#include "chat/client/line_editor.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>

namespace {

std::optional<std::string> type(chat::line_editor& editor, std::string_view keys) {
  std::optional<std::string> entered;
  for (const char key : keys) {
    if (auto line = editor.feed(key)) entered = line;
  }
  return entered;
}

std::string line_of(std::string_view keys) {
  chat::line_editor editor;
  return type(editor, std::string{keys} + "\r").value_or("no line");
}

constexpr const char* up = "\x1b[A";
constexpr const char* down = "\x1b[B";

}  // namespace

TEST_CASE("chat: keys that edit a line") {
  CHECK(line_of("hello") == "hello");
  CHECK(line_of("") == "");
  CHECK(line_of("helo\x1b[Dl") == "hello");
  CHECK(line_of("ello\x1b[Hh\x1b[F!") == "hello!");
  CHECK(line_of("ello\x01h\x05!") == "hello!");
  CHECK(line_of("hellp\x7fo") == "hello");
  CHECK(line_of("hxello\x01\x1b[C\x1b[3~") == "hello");
  CHECK(line_of("nonsense\x15hello") == "hello");
  CHECK(line_of("hello nonsense \x17\x7f") == "hello");
  CHECK(line_of("hello\x1b[D\x1b[D\x0b") == "hel");
}

TEST_CASE("chat: letters of several bytes are one letter") {
  CHECK(line_of("gr\xc3\xbc\x7f\xc3\xb6") == "gr\xc3\xb6");
  CHECK(line_of("\xe4\xbd\xa0\xe5\xa5\xbd\x1b[D\x7f") == "\xe5\xa5\xbd");
}

TEST_CASE("chat: keys without a meaning do nothing, at the ends of a line as well") {
  CHECK(line_of("\x7f\x1b[D\x1b[C\x1b[3~\x17\x0b\x15"
                "a") == "a");
  CHECK(line_of("a\x1b[5~\x1b[1;5C\x1bOP"
                "b") == "ab");
}

TEST_CASE("chat: lines from before come back") {
  chat::line_editor editor;
  type(editor, "one\rtwo\r");
  CHECK(type(editor, std::string{up} + "\r") == "two");
  CHECK(type(editor, std::string{up} + up + up + "\r") == "one");
  CHECK(type(editor, std::string{up} + up + up + up + up + down + down + "\r") == "two");
  CHECK(type(editor, std::string{up} + down + "new\r") == "new");
}

TEST_CASE("chat: Ctrl-C ends, and Ctrl-D on an empty line") {
  chat::line_editor editor;
  type(editor, "a\x04");
  CHECK_FALSE(editor.ended());
  type(editor, "\x7f\x04");
  CHECK(editor.ended());
  chat::line_editor other;
  type(other, "abc\x03");
  CHECK(other.ended());
}

TEST_CASE("chat: a line that is too long is seen around the cursor") {
  chat::line_editor editor;
  type(editor, "0123456789");
  CHECK(editor.visible(20).text == "0123456789");
  CHECK(editor.visible(4).text == "6789");
  type(editor, "\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D");
  CHECK(editor.visible(4).text == "0123");
  CHECK(editor.visible(4).after == 1);
  type(editor, "\x01");
  CHECK(editor.visible(4).text == "0123");
  CHECK(editor.visible(4).after == 4);
}
