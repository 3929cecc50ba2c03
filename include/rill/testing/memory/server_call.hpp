// The server's end of an in-memory call.
#pragma once

#include "rill/testing/memory/stream.hpp"

#include <cstdint>
#include <string_view>
#include <utility>

namespace rill::testing::memory {

class server_side final : public stream<server_call> {
 public:
  server_side(link& of, scheduler& home) noexcept : stream{of, home, of.request, of.response} {}

  [[nodiscard]] std::string_view path() const noexcept override { return call.path; }
  [[nodiscard]] std::int64_t deadline() const noexcept override { return deadline_; }
  [[nodiscard]] const metadata& request_metadata() override { return call.sent_metadata; }
  [[nodiscard]] peer_identity identity() override { return {}; }
  [[nodiscard]] cancellation_token draining() noexcept override { return call.net->draining.token(); }
  [[nodiscard]] cancellation_token token() noexcept override { return source_.token(); }

  void send_headers() override {
    section held{*call.net};
    if (facts().dead) return;
    stage_headers();
    held.wake(*this);
  }
  [[nodiscard]] bool headers_sent() const noexcept override { return call.server.headers_staged; }
  void finish(status ended) override { end_call(std::move(ended), false); }
  void abort(status ended) override { end_call(std::move(ended), true); }

  void cancel(cancel_reason why) noexcept override {
    {
      section held{*call.net};
      if (facts().finished || facts().dead) return;
      die();
      call.break_client(held, seen_by_client(why), false);
      held.wake(*this);
    }
    source_.cancel(why);
  }

 private:
  [[nodiscard]] server_facts& facts() const noexcept { return call.server; }

  [[nodiscard]] bool closed() const noexcept override { return facts().dead || facts().finished; }
  [[nodiscard]] next_message tail() const noexcept override {
    if (facts().dead) return next_message::dead;
    if (!in_.drained()) return next_message::none;
    const bool had_the_only_one = call.single_request() && in_.delivered() != 0;
    return had_the_only_one || in_.end_visible(now()) ? next_message::end : next_message::none;
  }
  void before_message() override { stage_headers(); }
  void fail(section& held, status with) override {
    call.break_client(held, std::move(with), false);
    call.break_server(held, cancel_reason::cancelled, true);
  }

  void stage_headers() {
    if (std::exchange(facts().headers_staged, true)) return;
    facts().initial = initial_metadata;
  }
  void die() noexcept {
    facts().dead = call.cut = true;
    in_.drop_inbox();
    out_.drop_queue();
  }
  void end_call(status ended, bool drop) {
    cancel_timers();
    {
      section held{*call.net};
      for (stream_waiter*& one : waiters) one = nullptr;
      if (drop) out_.drop_queue();
      if (!facts().dead) stage_headers();
      facts().ended = std::move(ended);
      facts().trailing = trailing_metadata;
      facts().finished = out_.end_queued = true;
      in_.drop_inbox();
      held.wake(*this);
    }
    call.drop();
  }
  static status seen_by_client(cancel_reason why) {
    switch (why) {
      case cancel_reason::deadline:
        return {status_code::DEADLINE_EXCEEDED, "Deadline Exceeded"};
      case cancel_reason::shutdown:
        return {status_code::UNAVAILABLE, "the server stopped"};
      default:
        return {status_code::CANCELLED, "CANCELLED"};
    }
  }

  enum class news : std::uint8_t { none, start, died, tripped, ended };

  void step() noexcept override {
    news what = news::none;
    cancel_reason why = cancel_reason::none;
    {
      section held{*call.net};
      what = look(held);
      why = facts().broken;
    }
    switch (what) {
      case news::start:
        if (call.time_left != rill::detail::never) {
          deadline_ = now() + call.time_left;
          set_timer(deadline_timer, deadline_);
        }
        call.method->start(*this, call.method->handler);
        break;
      case news::died:
        source_.cancel(why);
        break;
      case news::tripped:
        source_.cancel(cancel_reason::shutdown);
        break;
      case news::ended:
        cancel_timers();
        if (!facts().accepted) call.drop();
        return;
      case news::none:
        break;
    }
    if (facts().finished) return;
    watch_arrivals();
    fire_waiters();
  }
  void abandon() noexcept override {
    news what = news::none;
    {
      section held{*call.net};
      if (!facts().accepted) {
        call.break_client(held, seen_by_client(cancel_reason::shutdown), true);
        call.break_server(held, cancel_reason::shutdown, true);
      }
      what = look(held);
    }
    if (what == news::ended && !facts().accepted) call.drop();
  }
  void deadline_passed() noexcept override { cancel(cancel_reason::deadline); }

  [[nodiscard]] news look(section& held) {
    posted = false;
    news what = news::none;
    if (facts().finished) {
      what = retire();
    } else if (facts().broken != cancel_reason::none && (facts().at_once || !call.net->frozen)) {
      if (!facts().accepted) {
        what = retire();
      } else if (!facts().dead) {
        die();
        what = news::died;
      }
    } else if (!facts().accepted && call.connected) {
      if (!call.single_request() || in_.has_message(now())) {
        facts().accepted = true;
        what = news::start;
      } else if (in_.end_visible(now())) {
        call.break_client(held, {status_code::INTERNAL, "Unable to parse request"}, false);
        what = retire();
      }
    } else if (facts().tripped && !source_.is_cancelled()) {
      what = news::tripped;
    }
    facts().headers_released = facts().headers_staged;
    out_.release();
    call.move(held);
    call.settle(held);
    return what;
  }
  /// Nothing will be called on this end any more.
  news retire() noexcept {
    facts().finished = facts().retired = gone = true;
    return news::ended;
  }

  std::int64_t deadline_ = rill::detail::never;
  cancellation_source source_;
};

}  // namespace rill::testing::memory
