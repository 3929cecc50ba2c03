// What both ends of an in-memory call have in common: the byte_stream over a flow in and a flow out.
#pragma once

#include "rill/testing/memory/link.hpp"

#include <string>
#include <utility>

namespace rill::testing::memory {

/// `Seam` is `server_call` or `client_call`; `Derived` says when the end is closed and what stands behind the messages.
template <class Seam>
class stream : public Seam, public end {
 public:
  next_message front(message_view& into) final {
    section held{*call.net};
    if (in_.has_message(now())) {
      into = in_.front().view();
      return next_message::message;
    }
    return tail();
  }
  void pop() final { static_cast<void>(take()); }
  payload take() final {
    section held{*call.net};
    payload bytes = in_.pop();
    call.move(held);
    return bytes;
  }
  bool arm_read(stream_waiter& waiter) final { return arm(read, waiter); }
  void disarm_read() noexcept final { disarm(read); }

  char* reserve(std::size_t size) final {
    section held{*call.net};
    if (closed() || refused(held, size)) return nullptr;
    auto* block = new rill::detail::flat_block{size};
    reserved_ = payload{block};
    return block->data();
  }
  void commit(write_options) final {
    section held{*call.net};
    queue(held, std::exchange(reserved_, payload{}));
  }
  void commit(const payload& bytes, write_options) final {
    section held{*call.net};
    if (closed() || refused(held, bytes.size())) return;
    queue(held, bytes);
  }
  stream_room has_room() final {
    section held{*call.net};
    if (closed()) return stream_room::dead;
    return out_.has_room() ? stream_room::yes : stream_room::no;
  }
  bool arm_room(stream_waiter& waiter) final { return arm(room, waiter); }
  void disarm_room() noexcept final { disarm(room); }
  bool arm_flushed(stream_waiter& waiter) final { return arm(flushed, waiter); }
  void disarm_flushed() noexcept final { disarm(flushed); }

  [[nodiscard]] scheduler& home() noexcept final { return at(); }
  [[nodiscard]] std::string peer() final { return "memory"; }

 protected:
  stream(link& of, scheduler& home, flow& in, flow& out) noexcept : end{of, home}, in_{in}, out_{out} {}
  ~stream() = default;

  // With the lock held:
  /// Whether nothing more can be sent.
  [[nodiscard]] virtual bool closed() const noexcept = 0;
  /// What `front` sees when no message is here.
  [[nodiscard]] virtual next_message tail() const noexcept = 0;
  /// A message is about to be queued.
  virtual void before_message() {}
  /// The sender broke the call itself.
  virtual void fail(section& held, status with) = 0;

  [[nodiscard]] bool answered(slot which) noexcept override {
    switch (which) {
      case read:
        return in_.has_message(now()) || tail() != next_message::none;
      case room:
        return closed() || out_.has_room();
      default:
        return closed() || out_.flushed();
    }
  }
  bool arm(slot which, stream_waiter& waiter) {
    section held{*call.net};
    if (answered(which)) return false;
    waiters[which] = &waiter;
    return true;
  }
  void disarm(slot which) noexcept {
    section held{*call.net};
    waiters[which] = nullptr;
  }
  /// On the home, for the step: wakes this end again when the next thing arrives.
  void watch_arrivals(std::int64_t also = rill::detail::never) noexcept {
    std::int64_t due = rill::detail::never;
    {
      section held{*call.net};
      const std::int64_t current = now();
      if (also <= current) also = rill::detail::never;
      due = in_.next_due(current, also);
    }
    set_timer(arrival_timer, due);
  }

  flow& in_;
  flow& out_;

 private:
  void queue(section& held, payload bytes) {
    if (closed()) return;
    before_message();
    out_.push(std::move(bytes));
    held.wake(*this);
  }
  bool refused(section& held, std::size_t size) {
    if (out_.max_send == 0 || size <= out_.max_send) return false;
    fail(held, {status_code::RESOURCE_EXHAUSTED, "Sent message larger than max (" + std::to_string(size) +
                                                     " vs. " + std::to_string(out_.max_send) + ")"});
    return true;
  }

  payload reserved_;
};

}  // namespace rill::testing::memory
