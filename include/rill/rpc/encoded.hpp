// encoded<T>: a message that is serialised once and written to any number of streams.
#pragma once

#include "rill/rpc/codec.hpp"
#include "rill/rpc/message.hpp"

#include <cstddef>
#include <utility>

namespace rill {

/// The bytes of a `T`. Copies share them, so a thousand waiting streams hold one payload.
/// *Concurrency*: copies may be used from any threads.
template <class T>
class encoded {
 public:
  using message_type = T;

  explicit encoded(const T& message) {
    const std::size_t size = codec<T>::size(message);
    auto* block = new detail::flat_block{size};
    bytes_ = rill::payload{block};
    codec<T>::write(message, block->data(), size);
  }

  [[nodiscard]] const rill::payload& payload() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  /// Parses the bytes again.
  [[nodiscard]] T decode() const {
    T message;
    static_cast<void>(codec<T>::parse(message, bytes_.view()));
    return message;
  }

 private:
  rill::payload bytes_;
};

}  // namespace rill
