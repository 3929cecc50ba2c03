// What metadata accepts, and what it refuses to send.
#include <rill/rpc/metadata.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

TEST_CASE("metadata: keys in any case, several values, binary values") {
  rill::metadata data{{"X-Trace", "one"}, {"x-trace", "two"}, {"x-key_1.a", ""}};
  data.add("Data-Bin", std::string("\0\xff\n", 3));
  CHECK(data.size() == 4);
  CHECK(data.get("x-trace") == "one");
  CHECK(data.get_all("x-trace") == std::vector<std::string_view>{"one", "two"});
  CHECK(data.get("data-bin") == std::string_view("\0\xff\n", 3));
  data.set("X-TRACE", "three");
  CHECK(data.get_all("x-trace") == std::vector<std::string_view>{"three"});
  CHECK(data.erase("x-trace") == 1);
  CHECK_FALSE(data.contains("x-trace"));
}

TEST_CASE("metadata: what cannot be sent is refused, and nothing is changed") {
  rill::metadata data{{"kept", "value"}};
  const rill::metadata before = data;
  for (const std::string& key : {std::string{}, std::string{"a b"}, std::string{"a:b"}, std::string{":path"},
                                 std::string{"a\nb"}, std::string("a\0b", 3), std::string{"\xc3\xa9"},
                                 std::string{"grpc-status"}, std::string{"GRPC-Timeout"}}) {
    CAPTURE(key);
    CHECK_THROWS_AS(data.add(key, "value"), rill::metadata_error);
    CHECK_THROWS_AS(data.set(key, "value"), rill::metadata_error);
  }
  for (const std::string& value : {std::string{"a\nb"}, std::string{"a\rb"}, std::string("a\0b", 3),
                                   std::string{"\x7f"}, std::string{"\xc3\xa9"}}) {
    CAPTURE(value);
    CHECK_THROWS_AS(data.add("key", value), rill::metadata_error);
    CHECK_THROWS_AS(data.set("kept", value), rill::metadata_error);
  }
  // To gRPC the suffix alone is a key like any other.
  CHECK_THROWS_AS(data.add("-bin", std::string_view("\0", 1)), rill::metadata_error);
  CHECK(data == before);
}
