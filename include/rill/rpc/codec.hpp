// codec<T>: how a message type becomes bytes and back. Protobuf messages have one; specialise it for other types.
#pragma once

#include "rill/rpc/message.hpp"

#include <google/protobuf/io/zero_copy_stream.h>
#include <google/protobuf/message_lite.h>

#include <climits>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>

namespace rill {

namespace detail {

/// Lets protobuf read a message where it lies.
class piece_stream final : public google::protobuf::io::ZeroCopyInputStream {
 public:
  explicit piece_stream(const message_view& message) noexcept : message_{message} {}

  bool Next(const void** data, int* size) override {
    while (offset_ == current_.size) {
      if (next_ == message_.pieces) return false;
      current_ = message_[next_++];
      offset_ = 0;
    }
    *data = current_.data + offset_;
    *size = static_cast<int>(current_.size - offset_);
    count_ += *size;
    offset_ = current_.size;
    return true;
  }
  void BackUp(int count) override {
    offset_ -= static_cast<std::size_t>(count);
    count_ -= count;
  }
  bool Skip(int count) override {
    const void* data = nullptr;
    int size = 0;
    while (count > 0) {
      if (!Next(&data, &size)) return false;
      if (size > count) BackUp(size - count);
      count -= size;
    }
    return true;
  }
  // protobuf's own integer type differs from std::int64_t on some platforms.
  decltype(std::declval<google::protobuf::io::ZeroCopyInputStream&>().ByteCount()) ByteCount()
      const override {
    return count_;
  }

 private:
  const message_view& message_;
  piece current_;
  unsigned next_ = 0;
  std::size_t offset_ = 0;
  std::int64_t count_ = 0;
};

}  // namespace detail

/// `size` gives the exact size of `write`'s output; it is called right before `write`, with the same message.
/// `parse` replaces the message's contents and gives false if the bytes are not a message.
template <class T>
struct codec;

template <std::derived_from<google::protobuf::MessageLite> T>
struct codec<T> {
  static std::size_t size(const T& message) { return message.ByteSizeLong(); }
  static void write(const T& message, char* out, std::size_t) {
    message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(out));
  }
  static bool parse(T& message, const message_view& from) {
    if (from.size > INT_MAX) return false;
    const int size = static_cast<int>(from.size);
    if (from.pieces <= 1) return message.ParseFromArray(from.first.data, size);
    detail::piece_stream stream{from};
    return message.ParseFromBoundedZeroCopyStream(&stream, size);
  }
};

/// Raw bytes, for proxies and generic tools.
template <>
struct codec<std::string> {
  static std::size_t size(const std::string& bytes) noexcept { return bytes.size(); }
  static void write(const std::string& bytes, char* out, std::size_t size) noexcept { bytes.copy(out, size); }
  static bool parse(std::string& bytes, const message_view& from) {
    bytes.clear();
    for (unsigned i = 0; i < from.pieces; ++i) bytes.append(from[i].data, from[i].size);
    return true;
  }
};

}  // namespace rill
