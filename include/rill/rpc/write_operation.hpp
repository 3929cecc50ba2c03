// Writing typed messages to a byte_stream: what writer::write and the clients' write, writes_done and flush return.
// Any number of tasks may write at once: they take their turns, first come, first served.
#pragma once

#include "rill/coro/operation.hpp"
#include "rill/rpc/byte_stream.hpp"
#include "rill/rpc/codec.hpp"
#include "rill/rpc/detail/shared_wait.hpp"
#include "rill/rpc/encoded.hpp"

#include <cstddef>
#include <utility>

namespace rill::detail {

/// Serialises `message` into the stream's queue; false if the call is dead. Only while there is room.
template <class T>
bool put_message(byte_stream& stream, const T& message, write_options options) {
  const std::size_t size = codec<T>::size(message);
  char* out = stream.reserve(size);
  if (out == nullptr) return false;
  codec<T>::write(message, out, size);
  stream.commit(options);
  return true;
}
template <class T>
bool put_message(byte_stream& stream, const encoded<T>& message, write_options options) {
  stream.commit(message.payload(), options);
  return true;
}

/// A write's place in the queue of those that wait for room.
struct write_turn : list_link<> {
  explicit write_turn(bool room) noexcept : needs_room{room} {}
  detail::waiter* waiter = nullptr;
  bool needs_room;  // half-closing needs only its turn
  bool has_turn = false;
};

/// The queue of a stream's waiting writes. One at a time holds the turn, from its claim until it has written.
class write_gate : private stream_waiter {
 public:
  write_gate() noexcept : stream_waiter{&on_room} {}
  write_gate(const write_gate&) = delete;
  write_gate& operator=(const write_gate&) = delete;

  void open(byte_stream& stream) noexcept { stream_ = &stream; }
  [[nodiscard]] bool idle() const noexcept { return holder_ == nullptr && waiting_.empty(); }

  [[nodiscard]] bool half_closed() const noexcept { return half_closed_; }
  void half_close() noexcept { half_closed_ = true; }

  /// What a write finds whose turn it is.
  [[nodiscard]] stream_room room(const write_turn& turn) {
    return turn.needs_room && !half_closed_ ? stream_->has_room() : stream_room::yes;
  }
  void hold(write_turn& turn) noexcept {
    holder_ = &turn;
    turn.has_turn = true;
  }
  void queue(write_turn& turn) {
    waiting_.push_back(turn);
    serve();
  }
  /// The turn does not wait any more.
  void withdraw(write_turn& turn) noexcept {
    if (!turn.linked()) return;
    turn.unlink();
    if (!armed_ || !waiting_.empty()) return;
    armed_ = false;
    stream_->disarm_room();
  }
  /// The holder has written, or never will.
  void done() noexcept {
    holder_ = nullptr;
    serve();
  }

 private:
  static void on_room(stream_waiter& waiter) noexcept {
    auto& self = static_cast<write_gate&>(waiter);
    self.armed_ = false;
    self.serve();
  }
  void serve() noexcept {
    while (holder_ == nullptr && !armed_ && !waiting_.empty()) {
      write_turn& first = *waiting_.front();
      if (room(first) == stream_room::no) {
        armed_ = stream_->arm_room(*this);
        continue;
      }
      first.unlink();
      if (!first.waiter->claim()) continue;
      hold(first);
      first.waiter->wake();
    }
  }

  byte_stream* stream_ = nullptr;
  write_turn* holder_ = nullptr;
  bool armed_ = false;
  bool half_closed_ = false;
  intrusive_list<write_turn> waiting_;
};

/// One wait for a turn to write. For `Side` see read_operation.hpp.
template <class Derived, class Side>
class write_wait : public operation<Derived>, private write_turn {
 public:
  write_wait(write_wait&& other) noexcept
      : operation<Derived>{std::move(other)}, write_turn{other.needs_room}, side_{other.side_} {}
  write_wait& operator=(write_wait&&) = delete;

  void rill_bind(task_context& context) {
    operation<Derived>::rill_bind(context);
    side_.bind(context);
  }
  bool poll() {
    if (!side_.writes.idle()) return false;
    room_ = side_.writes.room(*this);
    return room_ != stream_room::no;
  }
  bool arm(detail::waiter& claim) {
    waiter = &claim;
    if (!poll()) {
      side_.writes.queue(*this);
      return false;
    }
    if (!claim.claim()) return false;
    side_.writes.hold(*this);
    return true;
  }
  void disarm() noexcept { side_.writes.withdraw(*this); }

 protected:
  write_wait(Side& side, bool room) noexcept : write_turn{room}, side_{side} {}
  ~write_wait() {
    if (has_turn) side_.writes.done();
  }

  /// Whether the call is dead, now that it is this one's turn.
  [[nodiscard]] bool dead() {
    if (has_turn) room_ = side_.writes.room(*this);
    return room_ == stream_room::dead;
  }

  Side& side_;

 private:
  stream_room room_ = stream_room::no;
};

/// `write(item)`: `Item` is a message or an `encoded` one. It is serialised once it is accepted, and not before.
template <class Item, class Side>
class [[nodiscard]] write_operation : public write_wait<write_operation<Item, Side>, Side> {
 public:
  write_operation(Side& side, const Item& item, write_options options) noexcept
      : write_wait<write_operation, Side>{side, true}, item_{item}, options_{options} {}

  auto take() {
    if (this->side_.writes.half_closed()) throw usage_error{"rill: a write after writes_done"};
    if (this->dead() || !put_message(this->side_.stream(), item_, options_))
      return this->side_.write_refused();
    return this->side_.write_accepted();
  }

 private:
  const Item& item_;
  write_options options_;
};

/// Writes without waiting; false if there is no room, or other writes are waiting for it.
template <class Side, class Item>
bool try_write(Side& side, const Item& item, write_options options) {
  if (side.writes.half_closed()) throw usage_error{"rill: a write after writes_done"};
  if (!side.writes.idle()) return false;
  switch (side.stream().has_room()) {
    case stream_room::no:
      return false;
    case stream_room::yes:
      if (put_message(side.stream(), item, options)) return true;
      break;
    case stream_room::dead:
      break;
  }
  static_cast<void>(side.write_refused());
  return false;
}

/// `flush()`: completes once everything that was accepted is with the transport.
template <class Side>
class [[nodiscard]] flush_operation : public operation<flush_operation<Side>>, private shared_turn {
 public:
  explicit flush_operation(Side& side) noexcept : side_{side} {}
  flush_operation(flush_operation&& other) noexcept
      : operation<flush_operation>{std::move(other)}, side_{other.side_} {}
  flush_operation& operator=(flush_operation&&) = delete;

  void rill_bind(task_context& context) {
    operation<flush_operation>::rill_bind(context);
    side_.bind(context);
  }
  bool poll() noexcept { return false; }
  bool arm(detail::waiter& claim) {
    return !side_.flushes.arm(side_.stream(), *this, claim) && claim.claim();
  }
  void disarm() noexcept { side_.flushes.disarm(side_.stream(), *this); }
  auto take() {
    if (side_.stream().has_room() == stream_room::dead) return side_.write_refused();
    return side_.write_accepted();
  }

 private:
  Side& side_;
};

}  // namespace rill::detail
