// The near half of a relay: a byte stream on the task's home. It looks into the shared queues itself, and is posted to
// only when the task waits; what the task commits goes over when the task suspends or ends.
#pragma once

#include "rill/rpc/detail/relay_far.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rill::detail {

/// What is the same for servers and clients. `Call` is `server_call` or `client_call`. Every member runs on the home.
template <class Call>
class relay_near : public Call, protected relay_far {
 public:
  static void* operator new(std::size_t size) { return frame_pool::allocate(size); }
  static void operator delete(void* block, std::size_t size) noexcept { frame_pool::deallocate(block, size); }

  next_message front(message_view& into) final {
    if (dead()) return next_message::dead;
    const next_message next = look(false);
    if (next == next_message::message) {
      into = received_[received_at_].bytes.view();
      into.compressed = received_[received_at_].compressed;
    }
    return next;
  }
  void pop() final { static_cast<void>(take()); }
  payload take() final {
    payload bytes = std::move(received_[received_at_++].bytes);
    popped_.add(bytes.size());
    if (!(popped_ - credited_here_).half_empty(limits_)) give_credit();
    return bytes;
  }
  bool arm_read(stream_waiter& waiter) final {
    flush();
    if (dead() || look(true) != next_message::none) return false;
    read_waiter_ = &waiter;
    return true;
  }
  void disarm_read() noexcept final { disarm(read_waiter_, read_waiting_); }

  char* reserve(std::size_t size) final {
    if (has_room() == stream_room::dead) return nullptr;
    if (max_send_ != 0 && size > max_send_) {
      fresh_.too_large = size;
      refused_ = true;
      note();
      return nullptr;
    }
    auto* block = new flat_block{size};
    reserved_ = payload{block};
    return block->data();
  }
  void commit(write_options options) final { give(std::move(reserved_), options); }
  void commit(const payload& bytes, write_options options) final { give(payload{bytes}, options); }
  stream_room has_room() final {
    if (closed() || writes_dead_here_) return stream_room::dead;
    if (!(sent_ - accepted_here_).fills(limits_)) return stream_room::yes;
    guard held{lock_};
    return room_now();
  }
  bool arm_room(stream_waiter& waiter) final {
    flush();
    if (closed()) return false;
    guard held{lock_};
    if (room_now() != stream_room::no) return false;
    room_waiter_ = &waiter;
    room_waiting_ = true;
    return true;
  }
  void disarm_room() noexcept final { disarm(room_waiter_, room_waiting_); }
  bool arm_flushed(stream_waiter& waiter) final {
    flush();
    if (closed()) return false;
    bool mine = false;
    {
      guard held{lock_};
      if (writes_dead_ || flushed_ >= sent_.messages) return false;
      flush_to_ = sent_.messages;
      flush_waiting_ = true;
      flushed_waiter_ = &waiter;
      mine = claim(far_);
    }
    if (mine) send(far_);
    return true;
  }
  void disarm_flushed() noexcept final { disarm(flushed_waiter_, flush_waiting_); }

  void cancel(cancel_reason why) noexcept final {
    if (std::exchange(cancelled_, true)) return;
    writing_.clear();
    {
      guard held{lock_};
      outbox_.clear();
      inbox_.clear();
      discard_ = true;
    }
    fresh_.cancel = why;
    news_ = true;
    flush();
    cancelled_here(why);
    fire_if(room_waiter_, true);
    fire_if(flushed_waiter_, true);
    if (dead()) fire_if(read_waiter_, true);
  }
  [[nodiscard]] scheduler& home() noexcept final { return *near_.home; }

 protected:
  relay_near(scheduler& home, scheduler& loop, const relay_limits& limits) noexcept
      : relay_far{home, loop, limits} {}

  /// Whether nothing more can be read, not even what has arrived.
  [[nodiscard]] virtual bool dead() noexcept = 0;
  virtual void cancelled_here(cancel_reason why) noexcept = 0;
  /// Adds what goes along with the next burst.
  virtual void prepare() noexcept = 0;
  /// Fires what else waits.
  virtual void deliver() noexcept = 0;

  void run_near() noexcept override {
    if (left_) return;
    flush_posted_ = false;
    flush();
    fire_if(read_waiter_, read_waiter_ != nullptr && (dead() || look(true) != next_message::none));
    fire_if(room_waiter_, room_waiter_ != nullptr && room_came());
    fire_if(flushed_waiter_, flushed_waiter_ != nullptr && flushed_now());
    deliver();
  }
  void near_dropped() noexcept override {}

  /// There is something to tell the far half, when the task suspends or ends.
  void note() noexcept {
    news_ = true;
    if (!std::exchange(flush_posted_, true)) post(near_);
  }
  /// Tells the far half now.
  void flush() noexcept {
    if (!std::exchange(news_, false)) return;
    prepare();
    bool mine = false;
    {
      guard held{lock_};
      if (outbox_.empty()) {
        outbox_.swap(writing_);
      } else {
        for (relay_outgoing& message : writing_) outbox_.push_back(std::move(message));
      }
      given_ = sent_;
      orders_.merge(std::exchange(fresh_, {}));
      mine = claim(far_);
    }
    writing_.clear();
    if (mine) send(far_);
  }
  /// The task's last touch, with the orders that were noted. The relay may be gone when it returns.
  void leave() noexcept {
    stop_near();
    settle(near_);
    drop();
  }
  /// The same where a `post` to the home may be under way on this very thread.
  void leave_unsettled() noexcept {
    stop_near();
    drop();
  }
  /// The home is being destroyed: nothing is posted there any more.
  void lose_home() noexcept {
    {
      guard held{lock_};
      near_.gone = true;
    }
    settle(near_);
  }
  static void fire_if(stream_waiter*& waiter, bool condition) noexcept {
    if (!condition || waiter == nullptr) return;
    stream_waiter& one = *std::exchange(waiter, nullptr);
    one.fire(one);
  }
  void disarm(stream_waiter*& waiter, bool& waiting) noexcept {
    if (std::exchange(waiter, nullptr) == nullptr) return;
    guard held{lock_};
    waiting = false;
  }
  [[nodiscard]] bool left() const noexcept { return left_; }
  [[nodiscard]] bool wrote() const noexcept { return sent_.messages != 0; }

  relay_orders fresh_;
  bool news_ = false;
  std::size_t max_send_ = 0;  // bytes of one message; 0: the call decides

 private:
  /// What comes next. If that is nothing, `wait` has the far half post when there is something.
  [[nodiscard]] next_message look(bool wait) noexcept {
    if (received_at_ != received_.size()) return next_message::message;
    received_.clear();
    received_at_ = 0;
    next_message next = next_message::message;
    bool mine = false;
    {
      guard held{lock_};
      received_.swap(inbox_);
      if (received_.empty()) {
        next = end_;
        read_waiting_ = (wait || read_waiter_ != nullptr) && next == next_message::none;
      }
      writes_dead_here_ = writes_dead_;
      mine = credit_far();
    }
    if (mine) send(far_);
    return next;
  }
  void give_credit() noexcept {
    bool mine = false;
    {
      guard held{lock_};
      mine = credit_far();
    }
    if (mine) send(far_);
  }
  /// With the lock held. Called for half of the bound at once, or when nothing is left here.
  [[nodiscard]] bool credit_far() noexcept {
    credited_ = credited_here_ = popped_;
    return paused_ && !(taken_ - credited_).fills(limits_) && claim(far_);
  }

  /// Whether nothing more can be sent, as far as this half knows.
  [[nodiscard]] bool closed() noexcept { return dead() || cancelled_ || refused_; }
  void give(payload bytes, write_options options) {
    sent_.add(bytes.size());
    writing_.push_back({std::move(bytes), options});
    note();
  }
  /// With the lock held.
  [[nodiscard]] stream_room room_now() noexcept {
    accepted_here_ = accepted_;
    writes_dead_here_ = writes_dead_;
    if (writes_dead_) return stream_room::dead;
    return (sent_ - accepted_here_).fills(limits_) ? stream_room::no : stream_room::yes;
  }
  [[nodiscard]] bool room_came() noexcept {
    if (closed()) return true;
    guard held{lock_};
    if (room_now() == stream_room::no) return false;
    room_waiting_ = false;
    return true;
  }
  [[nodiscard]] bool flushed_now() noexcept {
    if (closed()) return true;
    guard held{lock_};
    if (!writes_dead_ && flushed_ < flush_to_) return false;
    flush_waiting_ = false;
    return true;
  }
  void stop_near() noexcept {
    left_ = true;
    news_ = true;
    received_.clear();
    received_at_ = 0;
    {
      guard held{lock_};
      near_.gone = true;
      discard_ = true;
      inbox_.clear();
    }
    flush();
  }

  std::vector<relay_incoming> received_;  // from received_at_ on, not yet consumed
  std::size_t received_at_ = 0;
  std::vector<relay_outgoing> writing_;
  payload reserved_;
  relay_count popped_;
  relay_count credited_here_;
  relay_count sent_;
  relay_count accepted_here_;
  stream_waiter* read_waiter_ = nullptr;
  stream_waiter* room_waiter_ = nullptr;
  stream_waiter* flushed_waiter_ = nullptr;
  bool flush_posted_ = false;
  bool cancelled_ = false;
  bool refused_ = false;  // a message that was too large: the call fails
  bool left_ = false;
  bool writes_dead_here_ = false;
};

}  // namespace rill::detail
