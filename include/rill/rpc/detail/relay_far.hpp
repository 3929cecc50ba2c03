// The far half of a relay: it lives on the call's loop, drives the call, and carries bursts to and from the near half.
#pragma once

#include "rill/coro/detail/home_anchor.hpp"
#include "rill/rpc/detail/relay_state.hpp"

#include <cstddef>
#include <utility>
#include <vector>

namespace rill::detail {

/// What is the same for servers and clients. Every member runs on the loop.
class relay_far : public relay_state {
 protected:
  relay_far(scheduler& home, scheduler& loop, const relay_limits& limits) noexcept
      : relay_state{home, loop, limits},
        read_{{&on_read}, *this},
        room_{{&on_room}, *this},
        flushed_waiter_{{&on_flushed}, *this},
        loop_anchor_{*this} {}

  /// Makes sure that there is a call; false if there is none and never will be.
  virtual bool begin_call() noexcept = 0;
  /// Carries out the orders that come before the messages; true if the call was let go of.
  virtual bool carry_out_orders() noexcept = 0;
  /// Every message is with the call: true if it was let go of.
  virtual bool conclude() noexcept = 0;
  /// Copies what the near half may ask for before it is told of it.
  virtual void collect() noexcept = 0;
  /// Lets go of the call, if there is one, because its loop is being destroyed.
  virtual void abandon_call() noexcept = 0;

  /// Before there is a call.
  void watch_loop() { loop_anchor_.attach(*far_.home); }
  void run_far() noexcept final {
    {
      guard held{lock_};
      todo_.merge(std::exchange(orders_, {}));
      if (leaving_at_ == leaving_.size()) {
        leaving_.clear();
        leaving_at_ = 0;
        leaving_.swap(outbox_);
      } else {
        for (relay_outgoing& message : outbox_) leaving_.push_back(std::move(message));
        outbox_.clear();
      }
      refresh();
    }
    if (over_ || !begin_call()) return;
    do {
      if (carry_out_orders()) return;
      write();
      if (leaving_at_ == leaving_.size() && conclude()) return;
      watch_flush();
      read();
      collect();
    } while (!publish());
  }

  /// Before the call is let go of: nothing of it fires any more.
  void disarm_waiters() noexcept {
    if (read_.armed) stream_->disarm_read();
    if (room_.armed) stream_->disarm_room();
    if (flushed_waiter_.armed) stream_->disarm_flushed();
    read_.armed = room_.armed = flushed_waiter_.armed = false;
  }
  /// Forgets what was to be sent.
  void drop_leaving() noexcept {
    leaving_.clear();
    leaving_at_ = 0;
  }
  /// The call was let go of: this half ends, and tells the near one. The relay may be gone when it returns.
  void close(next_message end) noexcept {
    loop_anchor_.detach();
    end_half(end);
    settle(far_);  // the loop may end as soon as it has no call
    drop();
  }
  /// The same where a `post` to the loop may be under way on this very thread.
  void close_unsettled(next_message end) noexcept {
    end_half(end);
    drop();
  }
  /// The loop is being destroyed.
  void lose_loop() noexcept {
    abandon_call();
    end_half(next_message::dead);
    settle(far_);
    drop();
  }

  relay_orders todo_;
  byte_stream* stream_ = nullptr;
  next_message reached_ = next_message::none;

 private:
  struct far_waiter : stream_waiter {
    far_waiter(stream_waiter base, relay_far& relay) noexcept : stream_waiter{base}, owner{relay} {}
    relay_far& owner;
    bool armed = false;
  };
  struct far_anchor : home_anchor {
    explicit far_anchor(relay_far& relay) noexcept
        : home_anchor{[](home_anchor& self) noexcept { static_cast<far_anchor&>(self).owner.lose_loop(); }},
          owner{relay} {}
    relay_far& owner;
  };

  static void on_read(stream_waiter& waiter) noexcept { fired(static_cast<far_waiter&>(waiter)); }
  static void on_room(stream_waiter& waiter) noexcept { fired(static_cast<far_waiter&>(waiter)); }
  static void on_flushed(stream_waiter& waiter) noexcept {
    auto& self = static_cast<far_waiter&>(waiter);
    self.owner.flushed_now_ = self.owner.accepted_now_.messages;
    fired(self);
  }
  static void fired(far_waiter& waiter) noexcept {
    waiter.armed = false;
    waiter.owner.post(waiter.owner.far_);
  }

  /// With the lock held: what the near half has told.
  void refresh() noexcept {
    credited_now_ = credited_;
    discarding_ = discard_;
    flush_wanted_ = flush_waiting_ ? flush_to_ : 0;
    paused_ = false;
  }

  void write() noexcept {
    while (leaving_at_ != leaving_.size()) {
      switch (stream_->has_room()) {
        case stream_room::yes: {
          relay_outgoing& message = leaving_[leaving_at_++];
          accepted_now_.add(message.bytes.size());
          stream_->commit(message.bytes, message.options);
          message.bytes = payload{};
          break;
        }
        case stream_room::no:
          if (!room_.armed) room_.armed = stream_->arm_room(room_);
          if (room_.armed) return;
          break;
        case stream_room::dead:
          drop_leaving();
          writes_dead_now_ = true;
          return;
      }
    }
  }

  void watch_flush() noexcept {
    if (flush_wanted_ == 0 || flushed_waiter_.armed || accepted_now_.messages < flush_wanted_) return;
    flushed_waiter_.armed = stream_->arm_flushed(flushed_waiter_);
    if (!flushed_waiter_.armed) flushed_now_ = accepted_now_.messages;
  }

  void read() noexcept {
    while (reached_ == next_message::none) {
      stalled_ = !discarding_ && (taken_now_ - credited_now_).fills(limits_);
      if (stalled_) return;
      message_view view;
      switch (const next_message next = stream_->front(view)) {
        case next_message::none:
          if (!read_.armed) read_.armed = stream_->arm_read(read_);
          if (read_.armed) return;
          break;
        case next_message::message:
          if (discarding_) {
            stream_->pop();
          } else {
            taken_now_.add(view.size);
            const bool compressed = view.compressed;
            arriving_.push_back({stream_->take(), compressed});
          }
          break;
        case next_message::end:
        case next_message::dead:
          reached_ = next;
      }
    }
  }

  /// Shows the near half what is new, and posts to it if it waits for that. False if it has given credit meanwhile.
  bool publish() noexcept {
    bool wake = false;
    {
      guard held{lock_};
      show();
      if (std::exchange(stalled_, false)) {
        if (discard_ || !(taken_ - credited_).fills(limits_)) {
          refresh();
          return false;
        }
        paused_ = true;
      }
      wake = near_waits() && claim(near_);
    }
    if (wake) send(near_);
    return true;
  }
  /// With the lock held.
  void show() noexcept {
    if (!discard_) {
      if (inbox_.empty()) {
        inbox_.swap(arriving_);
      } else {
        for (relay_incoming& message : arriving_) inbox_.push_back(std::move(message));
      }
    }
    arriving_.clear();
    taken_ = taken_now_;
    accepted_ = accepted_now_;
    flushed_ = flushed_now_;
    writes_dead_ = writes_dead_now_;
    end_ = reached_;
  }
  /// With the lock held: whether something that the near half waits for has come.
  [[nodiscard]] bool near_waits() const noexcept {
    return (read_waiting_ && (!inbox_.empty() || end_ != next_message::none)) ||
           (room_waiting_ && (writes_dead_ || (given_ - accepted_).half_empty(limits_))) ||
           (flush_waiting_ && (writes_dead_ || flushed_ >= flush_to_)) ||
           (headers_waiting_ && headers_known_);
  }

  void end_half(next_message end) noexcept {
    over_ = true;
    stream_ = nullptr;
    drop_leaving();
    if (reached_ == next_message::none) reached_ = end;
    writes_dead_now_ = true;
    bool wake = false;
    {
      guard held{lock_};
      show();
      headers_known_ = true;
      far_.gone = true;
      wake = near_waits() && claim(near_);
    }
    if (wake) send(near_);
  }

  far_waiter read_;
  far_waiter room_;
  far_waiter flushed_waiter_;
  far_anchor loop_anchor_;
  std::vector<relay_outgoing> leaving_;  // from leaving_at_ on, not yet accepted by the call
  std::size_t leaving_at_ = 0;
  std::vector<relay_incoming> arriving_;
  relay_count taken_now_;
  relay_count credited_now_;
  relay_count accepted_now_;
  std::uint64_t flushed_now_ = 0;
  std::uint64_t flush_wanted_ = 0;
  bool discarding_ = false;
  bool stalled_ = false;

 protected:
  bool writes_dead_now_ = false;
  bool over_ = false;
};

}  // namespace rill::detail
