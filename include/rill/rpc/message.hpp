// A message as bytes: message_view looks at one that was received, payload owns one and can be shared.
#pragma once

#include "rill/coro/detail/spin_lock.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace rill {

/// A run of bytes that a message consists of.
struct piece {
  const char* data = nullptr;
  std::size_t size = 0;
};

/// A received message, in one or more pieces. *Lifetime*: until its stream's `pop` or `take`.
struct message_view {
  std::size_t size = 0;
  piece first;  ///< The whole message if `pieces` is 1.
  unsigned pieces = 0;
  piece (*at)(const void* state,
              unsigned index) noexcept = nullptr;  ///< Gives piece `index`, if there are several.
  const void* state = nullptr;
  bool compressed = false;  ///< Whether it was compressed on the wire, where the engine knows.

  [[nodiscard]] piece operator[](unsigned index) const noexcept {
    return pieces == 1 ? first : at(state, index);
  }
};

namespace detail {

/// The bytes behind payloads. `slot` is an engine's own form of them, which then owns the storage.
class payload_block {
 public:
  payload_block(const payload_block&) = delete;
  payload_block& operator=(const payload_block&) = delete;
  virtual ~payload_block() {
    if (slot_ != nullptr) release_slot_(slot_);
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] const void* engine() const noexcept { return engine_; }
  [[nodiscard]] virtual unsigned pieces() const noexcept = 0;
  [[nodiscard]] virtual piece at(unsigned index) const noexcept = 0;

  /// An engine's form of the bytes, made once by `make`; null if another engine's is there.
  template <class Make>
  void* slot(const void* engine, void (*destroy)(void*) noexcept, Make&& make) {
    guard held{lock_};
    if (slot_ == nullptr) {
      slot_ = make(*this);
      slot_engine_ = engine;
      release_slot_ = destroy;
    }
    return slot_engine_ == engine ? slot_ : nullptr;
  }

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  /// `engine` marks a block that is an engine's own form already.
  explicit payload_block(std::size_t size, const void* engine = nullptr) noexcept
      : size_{size}, engine_{engine} {}

 private:
  std::atomic<std::uint32_t> references_{1};
  spin_lock lock_;
  std::size_t size_;
  const void* engine_;
  void* slot_ = nullptr;
  const void* slot_engine_ = nullptr;
  void (*release_slot_)(void*) noexcept = nullptr;
};

/// One piece of memory. An engine that wraps it in its own form takes the storage over with `hand_over`.
class flat_block final : public payload_block {
 public:
  explicit flat_block(std::size_t size) : payload_block{size}, data_{new char[size]} {}
  ~flat_block() override {
    if (owned_) delete[] data_;
  }

  [[nodiscard]] char* data() noexcept { return data_; }
  [[nodiscard]] unsigned pieces() const noexcept override { return 1; }
  [[nodiscard]] piece at(unsigned) const noexcept override { return {data_, size()}; }

  /// Gives the storage away; whoever takes it calls `delete[]` when nobody refers to it any more.
  [[nodiscard]] char* hand_over() noexcept {
    owned_ = false;
    return data_;
  }

 private:
  char* data_;
  bool owned_ = true;
};

}  // namespace detail

/// A message's bytes, reference-counted: one copy in memory however many streams it waits on.
/// *Concurrency*: distinct payloads that share bytes may be used from any threads.
class payload {
 public:
  payload() noexcept = default;
  /// A copy of `bytes`.
  explicit payload(std::string_view bytes) {
    auto* block = new detail::flat_block{bytes.size()};
    if (!bytes.empty()) std::memcpy(block->data(), bytes.data(), bytes.size());
    block_ = block;
  }
  /// Takes over the block's first reference.
  explicit payload(detail::payload_block* adopted) noexcept : block_{adopted} {}
  payload(const payload& other) noexcept : block_{other.block_} {
    if (block_ != nullptr) block_->retain();
  }
  payload(payload&& other) noexcept : block_{std::exchange(other.block_, nullptr)} {}
  payload& operator=(payload other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~payload() {
    if (block_ != nullptr) block_->release();
  }

  [[nodiscard]] std::size_t size() const noexcept { return block_ != nullptr ? block_->size() : 0; }
  [[nodiscard]] message_view view() const noexcept {
    message_view seen;
    if (block_ == nullptr) return seen;
    seen.size = block_->size();
    seen.pieces = block_->pieces();
    if (seen.pieces != 0) seen.first = block_->at(0);
    seen.state = block_;
    seen.at = [](const void* state, unsigned index) noexcept {
      return static_cast<const detail::payload_block*>(state)->at(index);
    };
    return seen;
  }
  /// A copy of the bytes.
  [[nodiscard]] std::string to_string() const {
    std::string bytes;
    bytes.reserve(size());
    const message_view seen = view();
    for (unsigned i = 0; i < seen.pieces; ++i) bytes.append(seen[i].data, seen[i].size);
    return bytes;
  }
  [[nodiscard]] detail::payload_block* block() const noexcept { return block_; }

 private:
  detail::payload_block* block_ = nullptr;
};

}  // namespace rill
