// Which names an upload may have.
#include "upload/server/file_name.hpp"

#include <rill/rpc/status.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace std::string_view_literals;

TEST_CASE("upload: plain names are accepted") {
  for (const std::string_view name :
       {"a"sv, "report.pdf"sv, "two words.txt"sv, "naïve – 文件.tar.gz"sv, "a..b"sv, "~"sv}) {
    CAPTURE(name);
    CHECK_NOTHROW(upload::check_file_name(name));
  }
  CHECK_NOTHROW(upload::check_file_name(std::string(200, 'x')));
}

TEST_CASE("upload: names that could mean more than a file in the folder are refused") {
  for (const std::string_view name :
       {""sv, "."sv, ".."sv, "../x"sv, "/etc/passwd"sv, "a/b"sv, "a/../../b"sv, "a\\b"sv, "..\\x"sv, "C:x"sv,
        "a\0b"sv, "\0"sv, "a\nb"sv, "a\x1b[2J"sv, "a\x7f"sv, ".partial"sv, "x."sv, "x "sv}) {
    CAPTURE(name);
    try {
      upload::check_file_name(name);
      FAIL("accepted");
    } catch (const rill::status_error& refused) {
      CHECK(refused.code() == rill::status_code::INVALID_ARGUMENT);
    }
  }
  CHECK_THROWS_AS(upload::check_file_name(std::string(201, 'x')), rill::status_error);
}
