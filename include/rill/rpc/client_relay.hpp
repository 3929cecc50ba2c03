// open_relayed: opens a call for a task whose home is not one of the connection's loops.
#pragma once

#include "rill/coro/detail/home_anchor.hpp"
#include "rill/rpc/detail/relay_near.hpp"

#include <memory>
#include <string>
#include <utility>

namespace grpc {
class CallCredentials;
}  // namespace grpc

namespace rill {

namespace detail {

/// A client call on the task's home.
class client_relay final : public relay_near<client_call> {
 public:
  client_relay(connector& to, const call_head& head, scheduler& loop, scheduler& home,
               std::shared_ptr<const void> keep)
      : relay_near{home, loop, limits_of(head)},
        home_anchor_{*this},
        headers_waiter_far_{{&on_headers}, *this},
        connector_{to},
        keep_{std::move(keep)},
        head_{head},
        path_{head.path} {
    head_.path = path_;
    if (head.metadata != nullptr) {
      metadata_ = *head.metadata;
      head_.metadata = &metadata_;
    }
    if (head.credentials != nullptr) {
      credentials_ = *head.credentials;
      head_.credentials = &credentials_;
    }
    max_send_ = head.max_send;
    home_anchor_.attach(home);
    note();
  }

  void writes_done() override {
    fresh_.half_close = true;
    note();
  }
  [[nodiscard]] bool headers_ready() const noexcept override {
    guard held{const_cast<client_relay&>(*this).lock_};
    return headers_known_;
  }
  bool arm_headers(stream_waiter& waiter) override {
    flush();
    bool mine = false;
    {
      guard held{lock_};
      if (headers_known_) return false;
      headers_waiting_ = true;
      headers_waiter_ = &waiter;
      mine = claim(far_);
    }
    if (mine) send(far_);
    return true;
  }
  void disarm_headers() noexcept override { disarm(headers_waiter_, headers_waiting_); }
  [[nodiscard]] const metadata& initial_metadata() override { return initial_; }
  [[nodiscard]] const status& final_status() override { return status_; }
  [[nodiscard]] const metadata& trailing_metadata() override { return trailing_; }
  [[nodiscard]] std::string peer() override {
    guard held{lock_};
    return peer_;
  }
  void release() noexcept override {
    home_anchor_.detach();
    fresh_.release = true;
    leave();
  }

 private:
  struct near_anchor : home_anchor {
    explicit near_anchor(client_relay& relay) noexcept : home_anchor{&on_home_lost}, owner{relay} {}
    client_relay& owner;
  };
  struct far_headers : stream_waiter {
    far_headers(stream_waiter base, client_relay& relay) noexcept : stream_waiter{base}, owner{relay} {}
    client_relay& owner;
    bool armed = false;
  };

  /// Somebody keeps the call longer than the home: it can still be let go of.
  static void on_home_lost(home_anchor& anchor) noexcept {
    static_cast<near_anchor&>(anchor).owner.lose_home();
  }
  static relay_limits limits_of(const call_head& head) noexcept {
    relay_limits limits;
    if (head.queue.messages != 0) limits.messages = head.queue.messages;
    if (head.queue.bytes != 0) limits.bytes = head.queue.bytes;
    return limits;
  }
  static void on_headers(stream_waiter& waiter) noexcept {
    auto& self = static_cast<far_headers&>(waiter);
    self.armed = false;
    self.owner.post(self.owner.far_);
  }

  // On the home.
  [[nodiscard]] bool dead() noexcept override { return false; }
  void cancelled_here(cancel_reason) noexcept override {}
  void prepare() noexcept override {}
  void deliver() noexcept override { fire_if(headers_waiter_, headers_waiter_ != nullptr && headers_came()); }
  [[nodiscard]] bool headers_came() noexcept {
    guard held{lock_};
    if (headers_known_) headers_waiting_ = false;
    return headers_known_;
  }

  // On the loop.
  [[nodiscard]] bool begin_call() noexcept override {
    if (call_ != nullptr) return true;
    if (todo_.release) {
      close(next_message::end);
      return false;
    }
    try {
      watch_loop();
      call_ = &connector_.open(head_, *far_.home);
      stream_ = call_;
      return true;
    } catch (const std::exception& failed) {
      status_ = status{status_code::INTERNAL, failed.what()};
      close(next_message::end);
      return false;
    }
  }
  [[nodiscard]] bool carry_out_orders() noexcept override {
    if (todo_.release) {
      let_go();
      close(next_message::end);
      return true;
    }
    if (const cancel_reason why = std::exchange(todo_.cancel, cancel_reason::none);
        why != cancel_reason::none) {
      drop_leaving();
      call_->cancel(why);
    }
    return false;
  }
  [[nodiscard]] bool conclude() noexcept override {
    if (const std::size_t size = std::exchange(todo_.too_large, 0); size != 0) {
      static_cast<void>(call_->reserve(size));
    } else if (std::exchange(todo_.half_close, false)) {
      call_->writes_done();
    }
    return false;
  }
  void collect() noexcept override {
    if (!headers_collected_) {
      if (call_->headers_ready()) {
        headers_collected_ = true;
        initial_ = call_->initial_metadata();
        std::string peer = call_->peer();
        guard held{lock_};
        peer_ = std::move(peer);
        headers_known_ = true;
      } else {
        watch_headers();
      }
    }
    if (reached_ == next_message::end && !std::exchange(end_collected_, true)) {
      status_ = call_->final_status();
      trailing_ = call_->trailing_metadata();
      writes_dead_now_ = true;
    }
  }
  void watch_headers() noexcept {
    {
      guard held{lock_};
      if (!headers_waiting_) return;
    }
    if (headers_waiter_far_.armed) return;
    headers_waiter_far_.armed = call_->arm_headers(headers_waiter_far_);
    if (!headers_waiter_far_.armed) collect();
  }
  void let_go() noexcept {
    disarm_waiters();
    if (std::exchange(headers_waiter_far_.armed, false)) call_->disarm_headers();
    std::exchange(call_, nullptr)->release();
  }
  void abandon_call() noexcept override {
    let_go();
    set_lost();
  }
  /// The loop dropped the item that was to open the call, or the call is there and its loop's anchor takes over.
  void far_dropped() noexcept override {
    if (call_ != nullptr || over_) return;
    set_lost();
    close_unsettled(next_message::end);
  }
  void set_lost() noexcept {
    if (end_collected_) return;
    status_ = status{status_code::UNAVAILABLE, "the call's loop has ended"};
    if (reached_ == next_message::none) reached_ = next_message::end;
  }

  near_anchor home_anchor_;
  stream_waiter* headers_waiter_ = nullptr;
  far_headers headers_waiter_far_;
  client_call* call_ = nullptr;
  bool headers_collected_ = false;
  bool end_collected_ = false;
  connector& connector_;
  const std::shared_ptr<const void> keep_;
  call_head head_;
  const std::string path_;
  metadata metadata_;
  std::shared_ptr<grpc::CallCredentials> credentials_;
  // Written by the far half before the near one is told of them.
  std::string peer_;
  metadata initial_;
  metadata trailing_;
  status status_;
};

}  // namespace detail

/// Begins a call on `loop` whose members are used, and whose waiters fire, on `home`. It opens when the task suspends.
///
/// Received messages are prefetched up to a bound; what the task commits is carried over when it suspends.
/// *Concurrency*: on `home`. *Lifetime*: `to` until the call is let go of, which `keep` can see to.
inline client_call& open_relayed(connector& to, const call_head& head, scheduler& loop, scheduler& home,
                                 std::shared_ptr<const void> keep = {}) {
  return *new detail::client_relay{to, head, loop, home, std::move(keep)};
}

}  // namespace rill
