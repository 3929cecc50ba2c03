// What the programs under test and their controls share: framing on the standard streams, headers, error details.
#pragma once

#include "connectrpc/conformance/v1/client_compat.pb.h"
#include "connectrpc/conformance/v1/server_compat.pb.h"
#include "connectrpc/conformance/v1/service.pb.h"
#include "status_details.pb.h"

#include <google/protobuf/message_lite.h>

#include <cctype>
#include <cstddef>
#include <cstdint>
#include <istream>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace conformance {

namespace suite = connectrpc::conformance::v1;
using request_info = suite::ConformancePayload::RequestInfo;

/// Reads one message behind its length; false at the end of the input.
inline bool read_framed(std::istream& in, google::protobuf::MessageLite& message) {
  unsigned char length[4];
  if (!in.read(reinterpret_cast<char*>(length), 4)) return false;
  const std::uint32_t size = std::uint32_t{length[0]} << 24 | std::uint32_t{length[1]} << 16 |
                             std::uint32_t{length[2]} << 8 | std::uint32_t{length[3]};
  std::string bytes(size, '\0');
  return in.read(bytes.data(), static_cast<std::streamsize>(size)) && message.ParseFromString(bytes);
}

inline void write_framed(std::ostream& out, const google::protobuf::MessageLite& message) {
  const std::string bytes = message.SerializeAsString();
  const auto size = static_cast<std::uint32_t>(bytes.size());
  for (const int shift : {24, 16, 8, 0}) out.put(static_cast<char>(size >> shift & 0xff));
  out << bytes << std::flush;
}

inline std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// Calls `add(name, value)` for each value of each header, names in lower case.
template <class Headers, class F>
void for_each_header(const Headers& headers, F&& add) {
  for (const suite::Header& header : headers) {
    for (const std::string& value : header.value()) add(lower(header.name()), value);
  }
}

/// Bytes as text: base64 without padding.
inline std::string base64(std::string_view bytes) {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::string_view group = bytes.substr(at, 3);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = bits << 8 | (i < group.size() ? static_cast<unsigned char>(group[i]) : 0U);
    }
    for (std::size_t i = 0; i <= group.size(); ++i) text += digits[bits >> (18 - 6 * i) & 63];
  }
  return text;
}

/// Appends one value to the header of that name, which is added if there is none. Bytes are told as text.
template <class Headers>
void append_header(Headers& headers, std::string_view name, std::string_view raw) {
  const std::string value = name.ends_with("-bin") ? base64(raw) : std::string{raw};
  for (suite::Header& header : headers) {
    if (header.name() == name) {
      header.add_value(value);
      return;
    }
  }
  suite::Header& added = *headers.Add();
  added.set_name(std::string{name});
  added.add_value(value);
}

/// The binary details of an error: google.rpc.Status, serialised.
inline std::string details_of(const suite::Error& error, const request_info* info) {
  google::rpc::Status details;
  details.set_code(error.code());
  details.set_message(error.message());
  for (const auto& any : error.details()) *details.add_details() = any;
  if (info != nullptr) details.add_details()->PackFrom(*info);
  return details.SerializeAsString();
}

inline void fill_error(suite::Error& error, int code, const std::string& message,
                       const std::string& details) {
  error.set_code(static_cast<suite::Code>(code));
  error.set_message(message);
  google::rpc::Status parsed;
  if (!details.empty() && parsed.ParseFromString(details)) {
    for (auto& any : *parsed.mutable_details()) *error.add_details() = std::move(any);
  }
}

}  // namespace conformance
