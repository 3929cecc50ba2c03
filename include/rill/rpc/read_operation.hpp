// Reading typed messages from a byte_stream: what reader::read and the clients' read return.
#pragma once

#include "rill/coro/operation.hpp"
#include "rill/rpc/byte_stream.hpp"
#include "rill/rpc/codec.hpp"

#include <optional>
#include <stdexcept>
#include <utility>

namespace rill::detail {

/// Lets one read of a stream wait at a time.
struct read_gate {
  bool taken = false;
};

/// One wait for a stream's next message.
///
/// A `Side` is one end of a call as its operations see it. It has
/// - `bind(task_context&)`: called before all else; throws if the task may not use the call;
/// - `stream()`, and the gates `reads` and `writes`;
/// - `at_end()`: throws if the end of the stream is a failure; `at_dead()` and `unparsable()`: throw;
/// - `write_accepted()` and `write_refused()`: what a write returns; the latter may throw.
template <class Derived, class Side>
class read_wait : public operation<Derived>, private stream_waiter {
 public:
  read_wait(read_wait&& other) noexcept
      : operation<Derived>{std::move(other)}, stream_waiter{&on_fire}, side_{other.side_} {}
  read_wait& operator=(read_wait&&) = delete;

  void rill_bind(task_context& context) {
    operation<Derived>::rill_bind(context);
    side_.bind(context);
  }
  bool poll() {
    refused_ = side_.reads.taken;
    if (refused_) return true;
    seen_ = side_.stream().front(view_);
    return seen_ != next_message::none;
  }
  bool arm(detail::waiter& waiter) {
    refused_ = side_.reads.taken;
    if (refused_) return waiter.claim();
    waiter_ = &waiter;
    armed_ = side_.stream().arm_read(*this);
    if (!armed_ && !waiter.claim()) return false;
    side_.reads.taken = holding_ = suspended_ = true;
    return !armed_;
  }
  void disarm() noexcept {
    if (armed_) side_.stream().disarm_read();
    if (holding_) side_.reads.taken = false;
    armed_ = holding_ = false;
  }

 protected:
  explicit read_wait(Side& side) noexcept : stream_waiter{&on_fire}, side_{side} {}
  ~read_wait() = default;

  /// What there is to take. Nobody else has looked since this was claimed.
  next_message seen() {
    if (refused_) throw std::logic_error{"rill: this stream is being read by another task; one at a time"};
    if (suspended_) seen_ = side_.stream().front(view_);
    return seen_;
  }
  /// Takes the message that was seen; false if it is none of `T`.
  template <class T>
  [[nodiscard]] bool parse(T& message) {
    const bool parsed = codec<T>::parse(message, view_);
    side_.stream().pop();
    return parsed;
  }
  /// Parses the next message into `message`; false at the end of the stream.
  template <class T>
  bool take_into(T& message) {
    switch (seen()) {
      case next_message::message:
        if (!parse(message)) side_.unparsable();
        return true;
      case next_message::end:
        side_.at_end();
        return false;
      default:
        side_.at_dead();
    }
  }

  Side& side_;

 private:
  static void on_fire(stream_waiter& waiter) noexcept {
    auto& self = static_cast<read_wait&>(waiter);
    self.armed_ = false;
    if (self.waiter_->claim()) self.waiter_->wake();
  }

  message_view view_;
  detail::waiter* waiter_ = nullptr;
  next_message seen_ = next_message::none;
  bool refused_ = false;    // somebody else is reading
  bool armed_ = false;      // the stream refers to this
  bool holding_ = false;    // the gate is ours
  bool suspended_ = false;  // `view_` is stale
};

/// `read()`: the next message in an optional, empty at the end.
template <class T, class Side>
class [[nodiscard]] read_operation : public read_wait<read_operation<T, Side>, Side> {
 public:
  explicit read_operation(Side& side) noexcept : read_wait<read_operation, Side>{side} {}

  [[nodiscard]] std::optional<T> take() {
    std::optional<T> message{std::in_place};
    if (!this->take_into(*message)) message.reset();
    return message;
  }
};

/// `read(message)`: parses into a message that the caller keeps; false at the end.
template <class T, class Side>
class [[nodiscard]] read_into_operation : public read_wait<read_into_operation<T, Side>, Side> {
 public:
  read_into_operation(Side& side, T& message) noexcept
      : read_wait<read_into_operation, Side>{side}, message_{message} {}

  [[nodiscard]] bool take() { return this->take_into(message_); }

 private:
  T& message_;
};

/// Drops the next message unparsed; false at the end, whatever the end is.
template <class Side>
class [[nodiscard]] skip_operation : public read_wait<skip_operation<Side>, Side> {
 public:
  explicit skip_operation(Side& side) noexcept : read_wait<skip_operation, Side>{side} {}

  [[nodiscard]] bool take() {
    if (this->seen() != next_message::message) return false;
    this->side_.stream().pop();
    return true;
  }
};

}  // namespace rill::detail
