// One direction of an in-memory call: the sender's bounded queue, then a window that the receiver drains.
// Data only; the lock of the network guards it.
#pragma once

#include "rill/rpc/call_options.hpp"
#include "rill/rpc/message.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

namespace rill::testing::memory {

/// Messages on their way from one end to the other, followed by the end of their stream.
class flow {
 public:
  queue_limits limits;
  std::size_t window = 0;       ///< Bytes that may be with the receiver.
  std::size_t max_send = 0;     ///< Bytes of one message; zero: any.
  std::size_t max_receive = 0;  ///< Bytes of one message; zero: any.
  bool end_queued = false;      ///< The sender's half-close or status stands behind the queue.
  bool end_arrived = false;     ///< The receiver has it, from `end_due` on.
  std::int64_t end_due = 0;

  // The sender's side.
  [[nodiscard]] bool has_room() const noexcept {
    return queue_.empty() || (queue_.size() < limits.messages && queue_bytes_ < limits.bytes);
  }
  [[nodiscard]] bool flushed() const noexcept { return queue_.empty() && end_queued == end_released_; }
  void push(payload bytes) {
    queue_bytes_ += bytes.size();
    queue_.push_back(std::move(bytes));
  }
  /// Lets leave what was queued so far.
  void release() noexcept {
    released_ = queue_.size();
    end_released_ = end_queued;
  }
  void drop_queue() noexcept {
    queue_.clear();
    queue_bytes_ = released_ = 0;
  }

  // Between the two.
  [[nodiscard]] bool can_move() const noexcept {
    return released_ != 0 && (in_window_ == 0 || in_window_ + charge(queue_.front()) <= window);
  }
  [[nodiscard]] bool can_move_end() const noexcept { return queue_.empty() && end_released_ && !end_arrived; }
  [[nodiscard]] payload next() noexcept {
    payload bytes = std::move(queue_.front());
    queue_.pop_front();
    --released_;
    queue_bytes_ -= bytes.size();
    return bytes;
  }
  void deliver(payload bytes, std::int64_t due) {
    in_window_ += charge(bytes);
    ++delivered_;
    inbox_.push_back({std::move(bytes), due});
  }
  [[nodiscard]] std::size_t delivered() const noexcept { return delivered_; }
  /// When something sent now arrives: in order, however the delay changes. Zero stands for at once.
  [[nodiscard]] std::int64_t stamp(std::int64_t due) noexcept {
    last_due_ = std::max(last_due_, due);
    return last_due_;
  }

  // The receiver's side.
  [[nodiscard]] bool has_message(std::int64_t now) const noexcept {
    return !inbox_.empty() && inbox_.front().due <= now;
  }
  [[nodiscard]] bool drained() const noexcept { return inbox_.empty(); }
  [[nodiscard]] const payload& front() const noexcept { return inbox_.front().bytes; }
  [[nodiscard]] payload pop() noexcept {
    payload bytes = std::move(inbox_.front().bytes);
    inbox_.pop_front();
    if (stalled_) {
      withheld_ += charge(bytes);
    } else {
      in_window_ -= charge(bytes);
    }
    return bytes;
  }
  void drop_inbox() noexcept { inbox_.clear(); }
  [[nodiscard]] bool end_visible(std::int64_t now) const noexcept { return end_arrived && end_due <= now; }
  /// The first moment after `now` at which more becomes visible, if that is before `due`.
  [[nodiscard]] std::int64_t next_due(std::int64_t now, std::int64_t due) const noexcept {
    for (const arrival& one : inbox_) {
      if (one.due > now) return std::min(due, one.due);
    }
    return end_arrived && end_due > now ? std::min(due, end_due) : due;
  }
  /// While it is stalled, what the receiver takes gives no window back.
  void stall(bool on) noexcept {
    stalled_ = on;
    if (!on) in_window_ -= std::exchange(withheld_, 0);
  }

 private:
  struct arrival {
    payload bytes;
    std::int64_t due;
  };

  /// A message counts with the five bytes that frame it on a wire, so that empty ones fill a window as well.
  static std::size_t charge(const payload& bytes) noexcept { return bytes.size() + 5; }

  std::deque<payload> queue_;
  std::size_t queue_bytes_ = 0;
  std::size_t released_ = 0;  // how many of the queue may leave; the task has not suspended since the others
  bool end_released_ = false;
  std::deque<arrival> inbox_;
  std::size_t in_window_ = 0;
  std::size_t delivered_ = 0;
  std::size_t withheld_ = 0;
  bool stalled_ = false;
  std::int64_t last_due_ = 0;
};

}  // namespace rill::testing::memory
