// What may be said, and what reaches a terminal.
#include "chat/limits.hpp"

#include <doctest/doctest.h>

#include <string>

TEST_CASE("chat: texts") {
  CHECK(chat::wrong_with_text("hello").empty());
  CHECK(chat::wrong_with_text("schöne Grüße, 你好 🎉").empty());
  CHECK(chat::wrong_with_text(std::string(2000, 'x')).empty());
  CHECK_FALSE(chat::wrong_with_text("").empty());
  CHECK_FALSE(chat::wrong_with_text(std::string(2001, 'x')).empty());
  CHECK_FALSE(chat::wrong_with_text("two\nlines").empty());
  CHECK_FALSE(chat::wrong_with_text("\x1b[31mred").empty());
  CHECK_FALSE(chat::wrong_with_text("\xc2\x9b"
                                    "31mred")
                  .empty());
  CHECK_FALSE(chat::wrong_with_text(std::string{"a\0b", 3}).empty());
}

TEST_CASE("chat: rooms") {
  CHECK(chat::wrong_with_room("lobby").empty());
  CHECK(chat::wrong_with_room("room-101").empty());
  for (const char* name : {"", "Lobby", "a b", "a/b", "..", "\x1b", "é"}) {
    CAPTURE(name);
    CHECK_FALSE(chat::wrong_with_room(name).empty());
  }
  CHECK_FALSE(chat::wrong_with_room(std::string(33, 'x')).empty());
}

TEST_CASE("chat: control characters do not reach a terminal, letters do") {
  CHECK(chat::printable("a\x1b[2Jb") == "a[2Jb");
  CHECK(chat::printable("a\xc2\x9b"
                        "2Jb") == "a2Jb");
  CHECK(chat::printable("schöne Grüße, 你好 🎉") == "schöne Grüße, 你好 🎉");
}
