// start_relayed: runs a handler on a home that is not its call's loop.
#pragma once

#include "rill/coro/cancellation.hpp"
#include "rill/coro/detail/home_anchor.hpp"
#include "rill/coro/detail/linked_source.hpp"
#include "rill/coro/detail/timer_heap.hpp"
#include "rill/coro/home_lease.hpp"
#include "rill/rpc/detail/relay_near.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace rill {

namespace detail {

/// A server call on the handler's home. The call's death reaches the handler through a token of the relay's own, and
/// ends the far half at once; when the server stops, the handler may still answer for a while. So an engine never waits
/// for good for a home that may not be running any more.
class server_relay final : public relay_near<server_call> {
 public:
  /// Nanoseconds that a handler may take to end once its token was tripped because the server stops.
  static constexpr std::int64_t unwinding_time = 500'000'000;

  using start_function = void (*)(server_call&, void*) noexcept;

  server_relay(server_call& call, home_lease home, start_function start, std::shared_ptr<void> handler)
      : relay_near{home.get(), call.home(), {}},
        lease_{std::move(home)},
        start_{start},
        handler_{std::move(handler)},
        death_{*this},
        patience_{*this},
        home_anchor_{*this},
        call_{&call},
        path_{call.path()},
        peer_{call.peer()},
        metadata_{call.request_metadata()},
        identity_{call.identity()},
        deadline_{call.deadline()} {}

  /// On the loop: begins to read, and has the handler started on its home.
  void begin() {
    retain();
    watch_loop();
    stream_ = call_;
    draining_link_.emplace(call_->draining(), draining_);
    death_.attach(call_->token().source());
    run_far();
    post(near_);
    drop();
  }

  [[nodiscard]] std::string_view path() const noexcept override { return path_; }
  [[nodiscard]] std::int64_t deadline() const noexcept override { return deadline_; }
  [[nodiscard]] const metadata& request_metadata() override { return metadata_; }
  [[nodiscard]] peer_identity identity() override { return identity_; }
  [[nodiscard]] std::string peer() override { return peer_; }
  [[nodiscard]] cancellation_token draining() noexcept override { return draining_.token(); }
  [[nodiscard]] cancellation_token token() noexcept override { return source_.token(); }

  void send_headers() override {
    if (std::exchange(headers_sent_, true) || wrote()) return;
    fresh_.headers = true;
    news_ = true;
    flush();
  }
  [[nodiscard]] bool headers_sent() const noexcept override { return headers_sent_ || wrote(); }
  void finish(status ended) override { end(std::move(ended), false); }
  void abort(status ended) override { end(std::move(ended), true); }

 private:
  struct death_hook : cancellation_hook {
    explicit death_hook(server_relay& relay) noexcept : cancellation_hook{&on_death}, owner{relay} {}
    server_relay& owner;
  };
  struct patience : timer_node {
    explicit patience(server_relay& relay) noexcept : timer_node{&on_out_of_patience}, owner{relay} {}
    server_relay& owner;
    bool out = false;
  };
  struct near_anchor : home_anchor {
    explicit near_anchor(server_relay& relay) noexcept : home_anchor{&on_home_lost}, owner{relay} {}
    server_relay& owner;
  };

  static void on_death(cancellation_hook& hook) noexcept {
    server_relay& self = static_cast<death_hook&>(hook).owner;
    self.source_.cancel(self.call_->token().reason());
    self.post(self.far_);
  }
  static void on_home_lost(home_anchor& anchor) noexcept {
    static_cast<near_anchor&>(anchor).owner.abort(
        status{status_code::UNAVAILABLE, "the handler's home has ended"});
  }

  static void on_out_of_patience(timer_node& timer) noexcept {
    auto& self = static_cast<patience&>(timer);
    self.out = true;
    self.owner.post(self.owner.far_);
  }

  // On the home.
  void run_near() noexcept override {
    if (std::exchange(started_, true)) {
      relay_near::run_near();
      return;
    }
    start_(*this, handler_.get());
    if (!left()) home_anchor_.attach(home());
  }
  void near_dropped() noexcept override {
    if (std::exchange(started_, true)) return;
    set_end(status{status_code::UNAVAILABLE, "the handler's home has ended"}, true);
    leave_unsettled();
  }
  [[nodiscard]] bool dead() noexcept override {
    const cancel_reason why = source_.reason();
    return why != cancel_reason::none && why != cancel_reason::shutdown;
  }
  void cancelled_here(cancel_reason why) noexcept override { source_.cancel(why); }
  void prepare() noexcept override {
    if (initial_given_ || !(headers_sent() || left())) return;
    initial_given_ = true;
    fresh_.initial = true;
    initial_ = std::move(initial_metadata);
    compression_ = response_compression;
  }
  void deliver() noexcept override {}
  void set_end(status ended, bool drop_queued) noexcept {
    ended_ = std::move(ended);
    trailing_ = std::move(trailing_metadata);
    (drop_queued ? fresh_.abort : fresh_.finish) = true;
  }
  void end(status ended, bool drop_queued) noexcept {
    // The home is given back with the handler's end, however long the far half still takes.
    const std::optional<home_lease> lease{std::move(lease_)};
    home_anchor_.detach();
    set_end(std::move(ended), drop_queued);
    leave();
  }

  // On the loop.
  [[nodiscard]] bool begin_call() noexcept override { return true; }
  [[nodiscard]] bool carry_out_orders() noexcept override {
    if (std::exchange(todo_.initial, false)) {
      call_->initial_metadata = std::move(initial_);
      call_->response_compression = compression_;
    }
    if (std::exchange(todo_.headers, false)) call_->send_headers();
    if (todo_.cancel != cancel_reason::none) call_->cancel(std::exchange(todo_.cancel, cancel_reason::none));
    if (!todo_.abort && !call_is_dead()) return false;
    let_go(true);
    return true;
  }
  [[nodiscard]] bool call_is_dead() noexcept {
    if (reached_ == next_message::dead || writes_dead_now_ || patience_.out) return true;
    const cancel_reason why = call_->token().reason();
    if (why != cancel_reason::shutdown) return why != cancel_reason::none;
    if (patience_.due == never) {
      patience_.due = far_.home->now() + unwinding_time;
      far_.home->add_timer(patience_);
    }
    return false;
  }
  [[nodiscard]] bool conclude() noexcept override {
    if (!todo_.finish) return false;
    let_go(false);
    return true;
  }
  void collect() noexcept override {
    if (reached_ == next_message::dead || writes_dead_now_) post(far_);
  }
  void abandon_call() noexcept override {
    const bool tripped = call_->token().is_cancelled();
    const cancel_reason why = tripped ? call_->token().reason() : cancel_reason::shutdown;
    detach_call();
    source_.cancel(why);
    std::exchange(call_, nullptr)->abort(status{status_code::UNAVAILABLE, "the call's loop has ended"});
  }
  void far_dropped() noexcept override {}
  void detach_call() noexcept {
    disarm_waiters();
    far_.home->cancel_timer(patience_);
    death_.detach();
    draining_link_.reset();
  }
  void let_go(bool drop_queued) noexcept {
    detach_call();
    server_call& call = *std::exchange(call_, nullptr);
    // Without an order to end, what the near half has to say is its own still.
    if (todo_.finish || todo_.abort) {
      call.trailing_metadata = std::move(trailing_);
      drop_queued ? call.abort(std::move(ended_)) : call.finish(std::move(ended_));
    } else if (patience_.out) {
      call.abort(status{status_code::UNAVAILABLE, "the server stopped"});
    } else {
      call.abort(status{status_code::CANCELLED, "cancelled"});
    }
    close(next_message::dead);
  }

  std::optional<home_lease> lease_;
  const start_function start_;
  const std::shared_ptr<void> handler_;
  cancellation_source source_;
  cancellation_source draining_;
  // On the loop.
  std::optional<cancellation_link> draining_link_;
  death_hook death_;
  patience patience_;
  near_anchor home_anchor_;
  server_call* call_;
  // Copied while the call was there.
  const std::string path_;
  const std::string peer_;
  const metadata metadata_;
  const peer_identity identity_;
  const std::int64_t deadline_;
  // On the home, until they are given to the far half.
  status ended_;
  metadata initial_;
  metadata trailing_;
  rill::compression compression_ = rill::compression::unset;
  bool initial_given_ = false;
  bool headers_sent_ = false;
  bool started_ = false;
};

}  // namespace detail

/// Has `start` called on `home` with a call that stands for `call` and is used there, and with `handler`.
///
/// Received messages are prefetched up to a bound; what the handler commits is carried over when it suspends or ends.
/// When `call` dies the handler's token trips, and the engine does not wait for it; when the server stops it waits for
/// half a second.
/// *Concurrency*: on `call`'s loop. *Lifetime*: `home` until the handler has finished; `handler` is kept.
inline void start_relayed(server_call& call, home_lease home, void (*start)(server_call&, void*) noexcept,
                          std::shared_ptr<void> handler) {
  (new detail::server_relay{call, std::move(home), start, std::move(handler)})->begin();
}

}  // namespace rill
