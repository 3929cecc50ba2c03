// channel<T>: a bounded queue between tasks, with backpressure. Many senders, many receivers, any thread.
#pragma once

#include "rill/coro/detail/ring.hpp"
#include "rill/coro/detail/spin_lock.hpp"
#include "rill/coro/operation.hpp"

#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

namespace rill {

/// A bounded first-in-first-out queue. `send` waits while it is full, `receive` while it is empty.
///
/// *Concurrency*: every member from any thread. *Lifetime*: outlives the tasks that wait on it.
/// `T` moves without throwing, so that no item is ever lost between two tasks.
template <class T>
class channel {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "rill: a channel's items must move and be destroyed without throwing");

 public:
  class send_operation;
  class receive_operation;

  /// *Throws*: `usage_error` if `capacity` is 0.
  explicit channel(std::size_t capacity) : items_{checked(capacity)} {}
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;

  /// Puts `item` into the channel.
  /// *Completes* with true once it is accepted; with false, and `item` as it was, if the channel is closed.
  /// *Cancellation*: `item` is as it was. *Lifetime*: `item` is moved from only when it is accepted, so await the
  /// operation in the expression that makes it.
  send_operation send(T&& item) noexcept { return send_operation{*this, item}; }
  send_operation send(const T& item)
    requires std::is_copy_constructible_v<T>
  {
    return send_operation{*this, T{item}, 0};
  }
  /// Takes the oldest item. *Completes* with it, or empty once the channel is closed and drained.
  /// *Cancellation*: takes nothing.
  receive_operation receive() noexcept { return receive_operation{*this}; }

  /// Sends without waiting: false, and `item` as it was, if the channel is full or closed.
  bool try_send(T&& item) {
    detail::guard held{lock_};
    return !closed_ && accept(item);
  }
  bool try_send(const T& item)
    requires std::is_copy_constructible_v<T>
  {
    return try_send(T{item});
  }
  /// Receives without waiting: empty if there is nothing.
  std::optional<T> try_receive() noexcept {
    std::optional<T> item;
    detail::guard held{lock_};
    static_cast<void>(give(item));
    return item;
  }

  /// Refuses further items; what is inside can still be received. Waiting senders get false.
  void close() noexcept {
    detail::guard held{lock_};
    closed_ = true;
    wake_all(receivers_);
    wake_all(senders_);
  }

  [[nodiscard]] bool closed() const noexcept {
    detail::guard held{lock_};
    return closed_;
  }
  [[nodiscard]] std::size_t size() const noexcept {
    detail::guard held{lock_};
    return items_.size();
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return items_.capacity(); }

  class [[nodiscard]] send_operation : public detail::operation<send_operation> {
   public:
    send_operation(send_operation&& other) noexcept
        : detail::operation<send_operation>{std::move(other)},
          channel_{other.channel_},
          item_{other.item_},
          copy_{std::move(other.copy_)} {}

    bool poll() {
      detail::guard held{channel_.lock_};
      return try_complete();
    }
    bool arm(detail::waiter& waiter) {
      detail::guard held{channel_.lock_};
      if (channel_.closed_ || !channel_.items_.full()) return waiter.claim() && try_complete();
      channel_.senders_.push_back(link_.of(*this, waiter));
      return false;
    }
    void disarm() noexcept {
      detail::guard held{channel_.lock_};
      link_.unlink();
    }
    [[nodiscard]] bool take() const noexcept { return accepted_; }

   private:
    friend class channel;
    send_operation(channel& to, T& item) noexcept : channel_{to}, item_{&item} {}
    send_operation(channel& to, T&& copy, int) noexcept : channel_{to}, copy_{std::move(copy)} {}

    T& item() noexcept { return item_ != nullptr ? *item_ : *copy_; }
    bool try_complete() {
      accepted_ = !channel_.closed_ && channel_.accept(item());
      return accepted_ || channel_.closed_;
    }

    channel& channel_;
    T* item_ = nullptr;
    std::optional<T> copy_;
    bool accepted_ = false;
    detail::waiting<send_operation> link_;
  };

  class [[nodiscard]] receive_operation : public detail::operation<receive_operation> {
   public:
    receive_operation(receive_operation&& other) noexcept
        : detail::operation<receive_operation>{std::move(other)}, channel_{other.channel_} {}

    bool poll() noexcept {
      detail::guard held{channel_.lock_};
      return channel_.give(item_);
    }
    bool arm(detail::waiter& waiter) noexcept {
      detail::guard held{channel_.lock_};
      if (channel_.closed_ || !channel_.items_.empty()) return waiter.claim() && channel_.give(item_);
      channel_.receivers_.push_back(link_.of(*this, waiter));
      return false;
    }
    void disarm() noexcept {
      detail::guard held{channel_.lock_};
      link_.unlink();
    }
    [[nodiscard]] std::optional<T> take() noexcept { return std::move(item_); }

   private:
    friend class channel;
    explicit receive_operation(channel& from) noexcept : channel_{from} {}

    channel& channel_;
    std::optional<T> item_;
    detail::waiting<receive_operation> link_;
  };

 private:
  static std::size_t checked(std::size_t capacity) {
    if (capacity == 0) throw usage_error{"rill: a channel needs a capacity of at least 1"};
    return capacity;
  }

  // With the lock held. Whoever waits is woken under the lock too, so that an operation that has taken itself off
  // its list knows that nobody refers to it.
  bool accept(T& item) noexcept {
    while (auto* receiver = receivers_.pop_front()) {
      if (!receiver->waiter->claim()) continue;
      receiver->operation->item_.emplace(std::move(item));
      receiver->waiter->wake();
      return true;
    }
    if (items_.full()) return false;
    items_.push(std::move(item));
    return true;
  }
  bool give(std::optional<T>& into) noexcept {
    if (items_.empty()) return closed_;
    into.emplace(std::move(items_.front()));
    items_.pop();
    while (auto* sender = senders_.pop_front()) {
      if (!sender->waiter->claim()) continue;
      items_.push(std::move(sender->operation->item()));
      sender->operation->accepted_ = true;
      sender->waiter->wake();
      break;
    }
    return true;
  }
  template <class List>
  static void wake_all(List& waiting) noexcept {
    while (auto* one = waiting.pop_front()) {
      if (one->waiter->claim()) one->waiter->wake();
    }
  }

  mutable detail::spin_lock lock_;
  bool closed_ = false;
  detail::ring<T> items_;
  detail::waiting_list<send_operation> senders_;
  detail::waiting_list<receive_operation> receivers_;
};

}  // namespace rill
