// What metadata accepts gRPC can send, and what it refuses gRPC cannot, or keeps for itself.
#include "check.hpp"

#include <rill/rpc/metadata.hpp>

#include <grpc/grpc.h>
#include <grpc/slice.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace {

bool grpc_can_send(const std::string& key, std::string_view value) {
  const grpc_slice name = grpc_slice_from_static_buffer(key.data(), key.size());
  const grpc_slice content = grpc_slice_from_static_buffer(value.data(), value.size());
  return grpc_header_key_is_legal(name) != 0 &&
         (grpc_is_binary_header(name) != 0 || grpc_header_nonbin_value_is_legal(content) != 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input{reinterpret_cast<const char*>(data), size};
  const std::size_t end_of_key = input.find('\n');
  const std::string_view key = input.substr(0, end_of_key);
  const std::string_view value = end_of_key == input.npos ? std::string_view{} : input.substr(end_of_key + 1);
  std::string lower{key};
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  const bool sendable = grpc_can_send(lower, value) && !lower.starts_with("grpc-");

  rill::metadata filled;
  try {
    filled.add(key, value);
    RILL_FUZZ_CHECK(sendable);
    RILL_FUZZ_CHECK(filled.size() == 1);
    RILL_FUZZ_CHECK(filled.get(lower) == value);
    filled.set(key, value);
    RILL_FUZZ_CHECK(filled.get_all(lower).size() == 1);
    RILL_FUZZ_CHECK(filled.erase(lower) == 1);
  } catch (const rill::metadata_error&) {
    RILL_FUZZ_CHECK(!sendable);
    RILL_FUZZ_CHECK(filled.empty());
  }
  // What a peer sends is kept as it is.
  filled.append_received(key, value);
  RILL_FUZZ_CHECK(filled.get(key) == value);
  RILL_FUZZ_CHECK(filled.erase(key) == 1);
  return 0;
}
