// What the two halves of a relay share: the queues between them, what each has told the other, and who is posted.
#pragma once

#include "rill/coro/detail/frame_pool.hpp"
#include "rill/coro/detail/spin_lock.hpp"
#include "rill/coro/errors.hpp"
#include "rill/coro/scheduler.hpp"
#include "rill/rpc/byte_stream.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rill::detail {

/// What may be under way between the halves, each way. One message of any size may be under way alone.
struct relay_limits {
  std::uint64_t messages = 64;
  std::uint64_t bytes = 64 * 1024;
};

/// Running totals of messages and their bytes; the difference of two of them is what is under way.
struct relay_count {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;

  void add(std::size_t size) noexcept {
    ++messages;
    bytes += size;
  }
  friend relay_count operator-(relay_count a, relay_count b) noexcept {
    return {a.messages - b.messages, a.bytes - b.bytes};
  }
  [[nodiscard]] bool fills(const relay_limits& limits) const noexcept {
    return messages >= limits.messages || bytes >= limits.bytes;
  }
  /// Whether it is worth a post to tell the other half that there is room again.
  [[nodiscard]] bool half_empty(const relay_limits& limits) const noexcept {
    return messages * 2 <= limits.messages && bytes * 2 <= limits.bytes;
  }
};

struct relay_incoming {
  payload bytes;
  bool compressed = false;
};
struct relay_outgoing {
  payload bytes;
  write_options options;
};

/// What the near half asks of the far one, besides sending messages.
struct relay_orders {
  bool initial = false;       // hand the initial metadata over
  bool headers = false;       // and send it now
  bool half_close = false;    // after the messages
  bool finish = false;        // after the messages
  bool abort = false;         // drop them and finish
  bool release = false;       // let go at once
  std::size_t too_large = 0;  // after the messages: one of this size, for the call to refuse
  cancel_reason cancel = cancel_reason::none;

  void merge(const relay_orders& more) noexcept {
    initial |= more.initial;
    headers |= more.headers;
    half_close |= more.half_close;
    finish |= more.finish;
    abort |= more.abort;
    release |= more.release;
    if (too_large == 0) too_large = more.too_large;
    if (cancel == cancel_reason::none) cancel = more.cancel;
  }
};

/// The shared part of a relay. It is freed when both halves and every posted item have let go of it.
class relay_state {
 public:
  relay_state(const relay_state&) = delete;
  relay_state& operator=(const relay_state&) = delete;

 protected:
  /// One half's home and the item that runs the half there.
  struct side : work_item {
    side(relay_state& relay, scheduler& where, function f) noexcept
        : work_item{f}, owner{relay}, home{&where} {}

    relay_state& owner;
    scheduler* home;
    bool posted = false;                    // the item is in the home's queue
    bool gone = false;                      // nothing may be posted there any more
    std::atomic<std::uint32_t> posting{0};  // threads that have decided to post and not returned from it
  };

  relay_state(scheduler& home, scheduler& loop, const relay_limits& limits) noexcept
      : limits_{limits}, near_{*this, home, &on_near}, far_{*this, loop, &on_far} {}
  virtual ~relay_state() = default;

  virtual void run_near() noexcept = 0;
  virtual void run_far() noexcept = 0;
  /// The home is being destroyed and dropped the posted item.
  virtual void near_dropped() noexcept = 0;
  virtual void far_dropped() noexcept = 0;

  /// With the lock held: true if the caller is to call `send` after it has released the lock.
  [[nodiscard]] bool claim(side& to) noexcept {
    if (to.gone || to.posted) return false;
    to.posted = true;
    to.posting.fetch_add(1, std::memory_order_relaxed);
    holds_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  static void send(side& to) noexcept {
    to.home->post(to);
    to.posting.fetch_sub(1, std::memory_order_release);
  }
  void post(side& to) noexcept {
    lock_.lock();
    const bool mine = claim(to);
    lock_.unlock();
    if (mine) send(to);
  }
  /// Once nothing is posted there any more: waits until nobody is still inside the home's `post`.
  static void settle(const side& of) noexcept {
    while (of.posting.load(std::memory_order_acquire) != 0) {
#if defined(__unix__) || defined(__APPLE__)
      ::sched_yield();
#endif
    }
  }
  void retain() noexcept { holds_.fetch_add(1, std::memory_order_relaxed); }
  /// Lets go of one hold.
  void drop() noexcept {
    if (holds_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  const relay_limits limits_;
  spin_lock lock_;
  // Guarded by the lock, from here to `headers_known_`.
  side near_;
  side far_;
  std::vector<relay_incoming> inbox_;   // on their way to the near half
  std::vector<relay_outgoing> outbox_;  // on their way to the far half
  relay_orders orders_;
  relay_count taken_;                      // received messages that the far half took from the call
  relay_count credited_;                   // and that the near half has consumed
  relay_count given_;                      // messages that the near half gave to the far one
  relay_count accepted_;                   // and that the call has accepted
  std::uint64_t flushed_ = 0;              // and that are with the transport
  std::uint64_t flush_to_ = 0;             // how many of them the near half waits for
  next_message end_ = next_message::none;  // what comes after the messages in the inbox
  bool writes_dead_ = false;
  bool discard_ = false;  // nobody will read what is still received
  bool paused_ = false;   // the far half reads no more until it has credit
  bool headers_known_ = false;
  // What the near half waits for: only then it is posted to.
  bool read_waiting_ = false;
  bool room_waiting_ = false;
  bool flush_waiting_ = false;
  bool headers_waiting_ = false;

 private:
  static void on_near(work_item& item, bool run) noexcept {
    auto& self = static_cast<side&>(item).owner;
    self.lock_.lock();
    self.near_.posted = false;
    if (!run) self.near_.gone = true;
    self.lock_.unlock();
    run ? self.run_near() : self.near_dropped();
    self.drop();
  }
  static void on_far(work_item& item, bool run) noexcept {
    auto& self = static_cast<side&>(item).owner;
    self.lock_.lock();
    self.far_.posted = false;
    if (!run) self.far_.gone = true;
    self.lock_.unlock();
    run ? self.run_far() : self.far_dropped();
    self.drop();
  }

  std::atomic<std::uint32_t> holds_{2};  // the near half, the far half, and each posted item
};

}  // namespace rill::detail
