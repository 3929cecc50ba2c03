// What both sides of a call share: the bounded write queue with adaptive coalescing, reading, waiters, holds.
// Interface is server_call or client_call; Side is the derived class.
#pragma once

#include "rill/engine/cq/core.hpp"
#include "rill/engine/cq/event_loop.hpp"
#include "rill/rpc/byte_stream.hpp"

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace rill::cq {

/// The defaults of a stream's write queue.
inline constexpr std::uint32_t default_queue_messages = 256;
inline constexpr std::size_t default_queue_bytes = 256 * 1024;

/// Fires a waiter, if there is one, and forgets it first.
inline void fire(stream_waiter*& slot) noexcept {
  if (stream_waiter* waiter = std::exchange(slot, nullptr)) waiter->fire(*waiter);
}

/// A first-in-first-out queue of messages. The first few need no memory of their own.
class outbox {
 public:
  struct message {
    grpc_slice slice;                     // what was serialised in place, or
    rill::detail::payload_block* shared;  // shared bytes, one reference
    std::size_t size;
    std::uint32_t flags;
  };

  outbox() noexcept = default;
  outbox(const outbox&) = delete;
  outbox& operator=(const outbox&) = delete;
  ~outbox() {
    clear();
    free_ring();
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

  void push(const message& added) {
    if (size_ == capacity_) grow();
    ring_[(first_ + size_) & (capacity_ - 1)] = added;
    ++size_;
    bytes_ += added.size;
  }
  /// Moves the oldest message's bytes to `out` and gives its flags.
  std::uint32_t pop_into(grpc_slice_buffer& out) {
    const message& oldest = take_first();
    if (oldest.shared != nullptr) {
      append_payload(*oldest.shared, out);
      oldest.shared->release();
    } else {
      grpc_slice_buffer_add(&out, oldest.slice);
    }
    return oldest.flags;
  }
  void clear() noexcept {
    while (!empty()) {
      const message& oldest = take_first();
      if (oldest.shared != nullptr) {
        oldest.shared->release();
      } else {
        grpc_slice_unref(oldest.slice);
      }
    }
  }

 private:
  static constexpr std::size_t inline_capacity = 2;

  const message& take_first() noexcept {
    const message& oldest = ring_[first_];
    first_ = (first_ + 1) & (capacity_ - 1);
    --size_;
    bytes_ -= oldest.size;
    return oldest;
  }
  void grow() {
    auto* larger = static_cast<message*>(::operator new(2 * capacity_ * sizeof(message)));
    for (std::size_t i = 0; i < size_; ++i) ::new (larger + i) message{ring_[(first_ + i) & (capacity_ - 1)]};
    free_ring();
    ring_ = larger;
    first_ = 0;
    capacity_ *= 2;
  }
  void free_ring() noexcept {
    if (ring_ != inline_) ::operator delete(ring_);
  }

  message inline_[inline_capacity];
  message* ring_ = inline_;
  std::size_t capacity_ = inline_capacity;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
  std::size_t bytes_ = 0;
};

template <class Interface, class Side>
class stream : public Interface {
 public:
  next_message front(message_view& into) override {
    if (dead_ && !side().reads_outlive_death()) return next_message::dead;
    if (front_ != nullptr) {
      into = view_of(*front_);
      return next_message::message;
    }
    return side().no_message();
  }
  void pop() override { grpc_byte_buffer_destroy(std::exchange(front_, nullptr)); }
  payload take() override { return payload{new buffer_block{std::exchange(front_, nullptr)}}; }
  bool arm_read(stream_waiter& waiter) override {
    message_view seen;
    if (front(seen) != next_message::none) return false;
    side().before_read();
    if (!reading_ && !read_ended_) {
      flush_before_read();
      start_read();
    }
    if (front(seen) != next_message::none) return false;
    read_waiter_ = &waiter;
    return true;
  }
  void disarm_read() noexcept override { read_waiter_ = nullptr; }

  char* reserve(std::size_t size) override {
    if (closed_for_writes()) return nullptr;
    reserved_ = grpc_slice_malloc(size);
    return reinterpret_cast<char*>(GRPC_SLICE_START_PTR(reserved_));
  }
  void commit(write_options options) override {
    outbox_.push({reserved_, nullptr, GRPC_SLICE_LENGTH(reserved_), flags_of(options)});
    flush_soon();
  }
  void commit(const payload& bytes, write_options options) override {
    if (closed_for_writes()) return;
    rill::detail::payload_block* block = bytes.block();
    if (block != nullptr) {
      block->retain();
      outbox_.push({{}, block, block->size(), flags_of(options)});
    } else {
      outbox_.push({grpc_empty_slice(), nullptr, 0, flags_of(options)});
    }
    flush_soon();
  }
  stream_room has_room() override {
    if (closed_for_writes()) return stream_room::dead;
    const std::size_t queued = outbox_.size() + (message_in_flight_ ? 1 : 0);
    if (queued == 0) return stream_room::yes;
    return queued < limits_.messages && outbox_.bytes() + bytes_in_flight_ < limits_.bytes ? stream_room::yes
                                                                                           : stream_room::no;
  }
  bool arm_room(stream_waiter& waiter) override {
    flush_now();
    if (has_room() != stream_room::no) return false;
    room_waiter_ = &waiter;
    return true;
  }
  void disarm_room() noexcept override { room_waiter_ = nullptr; }
  bool arm_flushed(stream_waiter& waiter) override {
    flush_now();
    if (flushed()) return false;
    flushed_waiter_ = &waiter;
    return true;
  }
  void disarm_flushed() noexcept override { flushed_waiter_ = nullptr; }
  [[nodiscard]] scheduler& home() noexcept override { return *loop_; }

 protected:
  explicit stream(event_loop& loop) noexcept : loop_{&loop} {
    send_buffer_.reserved = nullptr;
    send_buffer_.type = GRPC_BB_RAW;
    send_buffer_.data.raw.compression = GRPC_COMPRESS_NONE;
    grpc_slice_buffer_init(&send_buffer_.data.raw.slice_buffer);
    loop.hold();
  }
  ~stream() {
    flush_.unlink();
    if (front_ != nullptr) pop();
    grpc_slice_buffer_destroy(&send_buffer_.data.raw.slice_buffer);
    loop_->release();
  }

  Side& side() noexcept { return static_cast<Side&>(*this); }

  void set_limits(queue_limits wanted, queue_limits otherwise) noexcept {
    limits_.messages = wanted.messages != 0 ? wanted.messages : otherwise.messages;
    limits_.bytes = wanted.bytes != 0 ? wanted.bytes : otherwise.bytes;
    if (limits_.messages == 0) limits_.messages = default_queue_messages;
    if (limits_.bytes == 0) limits_.bytes = default_queue_bytes;
  }

  [[nodiscard]] bool flushed() const noexcept {
    return closed_for_writes() || (outbox_.empty() && !sending_);
  }
  [[nodiscard]] bool closed_for_writes() const noexcept { return dead_ || writes_closed_; }

  void start_read() {
    batch ops;
    ops.add(GRPC_OP_RECV_MESSAGE).data.recv_message.recv_message = &incoming_;
    reading_ = true;
    hold();
    if (!ops.start(call_, read_event_)) {
      reading_ = false;
      read_ended_ = true;
      side().die(cancel_reason::cancelled);
      unhold();
    }
  }

  /// Called at the tag and not before: until then the pointer is gRPC's. False if there is no message.
  bool publish_incoming() noexcept {
    front_ = std::exchange(incoming_, nullptr);
    if (front_ == nullptr) return false;
    if (side().refuses_size(front_->data.raw.slice_buffer.length)) {
      pop();
      read_ended_ = true;
      side().message_too_large();
    }
    return true;
  }

  void flush_soon() noexcept {
    if (!sending_) loop_->defer(flush_);
  }
  /// The peer may wait for what was written before it sends what is to be read. But where messages come one upon the
  /// other, what answers them waits until there is none, so that it leaves together.
  void flush_before_read() {
    const std::int64_t time = loop_->now();
    const bool flooded = time - read_started_at_ < flood_interval;
    read_started_at_ = time;
    if (flooded && flush_.linked()) return loop_->defer_until_idle(flush_, time);
    flush_now();
  }
  void flush_now() {
    if (!flush_.linked()) return;
    flush_.unlink();
    flush();
  }
  /// Starts the next batch if none is under way: headers, one message, and the tail once no message is left.
  void flush() {
    if (sending_ || dead_) return;
    batch ops;
    const bool first = !headers_sent_;
    if (first && (!outbox_.empty() || side().wants_headers() || side().wants_tail())) {
      side().add_headers(ops);
      headers_sent_ = true;
    }
    if (!outbox_.empty()) {
      grpc_slice_buffer& slices = send_buffer_.data.raw.slice_buffer;
      grpc_slice_buffer_reset_and_unref(&slices);
      std::uint32_t flags = outbox_.pop_into(slices);
      // A hint says that another message follows at once, so it must be there already. A server's batch with the
      // headers never completes with a hint.
      if (!outbox_.empty() && !(first && Side::is_server)) flags |= GRPC_WRITE_BUFFER_HINT;
      bytes_in_flight_ = slices.length;
      message_in_flight_ = true;
      ops.add(GRPC_OP_SEND_MESSAGE, flags).data.send_message.send_message = &send_buffer_;
    }
    if (outbox_.empty() && side().wants_tail()) {
      side().add_tail(ops);
    } else if (message_in_flight_) {
      loop_->count_unlooked();
    }
    if (ops.empty()) return;
    if constexpr (Side::is_server) {
      if (loop_->is_corking()) side().cork();
    }
    sending_ = true;
    hold();
    if (!ops.start(call_, send_event_)) {
      sending_ = message_in_flight_ = false;
      side().die(cancel_reason::cancelled);
      unhold();
    }
  }

  void drop_queue() noexcept { outbox_.clear(); }
  /// Drops what has not left, and tells everybody who waits.
  void drop_and_fire() noexcept {
    drop_queue();
    flush_.unlink();
    fire(read_waiter_);
    fire(room_waiter_);
    fire(flushed_waiter_);
  }

  void hold() noexcept { ++holds_; }
  void unhold() {
    if (--holds_ == 0) side().gone();
  }

  // A round trip through a socket takes longer.
  static constexpr std::int64_t flood_interval = 10'000;

  event_loop* loop_;
  grpc_call* call_ = nullptr;
  unsigned holds_ = 0;
  queue_limits limits_;
  bool dead_ = false;
  bool writes_closed_ = false;  // nothing more can be written, though the call may go on
  bool headers_sent_ = false;
  bool sending_ = false;
  bool message_in_flight_ = false;
  bool reading_ = false;
  bool read_ended_ = false;  // a read came back without a message
  std::size_t bytes_in_flight_ = 0;
  std::int64_t read_started_at_ = 0;
  grpc_byte_buffer* front_ = nullptr;

  stream_waiter* read_waiter_ = nullptr;
  stream_waiter* room_waiter_ = nullptr;
  stream_waiter* flushed_waiter_ = nullptr;

 private:
  class flush_item : public deferred {
   public:
    explicit flush_item(stream& owner) noexcept
        : deferred{[](deferred& self) noexcept { static_cast<flush_item&>(self).owner_.flush(); }},
          owner_{owner} {}

   private:
    stream& owner_;
  };

  static std::uint32_t flags_of(write_options options) noexcept {
    return options.compress ? 0U : std::uint32_t{GRPC_WRITE_NO_COMPRESS};
  }

  static void on_read(void* owner, bool ok) noexcept {
    auto& self = *static_cast<stream*>(owner);
    self.reading_ = false;
    if (!self.publish_incoming()) {
      self.read_ended_ = true;
      self.side().read_ended(ok);
    }
    message_view seen;
    if (self.front(seen) != next_message::none) fire(self.read_waiter_);
    self.unhold();
  }
  static void on_send(void* owner, bool ok) noexcept {
    auto& self = *static_cast<stream*>(owner);
    self.sending_ = false;
    self.message_in_flight_ = false;
    self.bytes_in_flight_ = 0;
    self.side().batch_sent();
    if (!ok) {
      self.side().send_failed();
    } else {
      self.flush();
      if (self.room_waiter_ != nullptr && self.has_room() != stream_room::no) fire(self.room_waiter_);
      if (self.flushed()) fire(self.flushed_waiter_);
    }
    self.unhold();
  }

 protected:
  flush_item flush_{*this};
  grpc_byte_buffer* incoming_ = nullptr;

 private:
  grpc_slice reserved_{};
  grpc_byte_buffer send_buffer_;
  outbox outbox_;
  event read_event_{&on_read, this};
  event send_event_{&on_send, this};
};

}  // namespace rill::cq
