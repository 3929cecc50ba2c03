// The client's end of an in-memory call.
#pragma once

#include "rill/testing/memory/stream.hpp"

#include <cstdint>
#include <utility>

namespace rill::testing::memory {

class client_side final : public stream<client_call> {
 public:
  client_side(link& of, scheduler& home, std::int64_t deadline) noexcept
      : stream{of, home, of.response, of.request}, deadline_{deadline} {}

  void writes_done() override {
    section held{*call.net};
    if (closed()) return;
    out_.end_queued = true;
    held.wake(*this);
  }
  [[nodiscard]] bool headers_ready() const noexcept override {
    section held{*call.net};
    return headers_known();
  }
  bool arm_headers(stream_waiter& waiter) override { return arm(headers, waiter); }
  void disarm_headers() noexcept override { disarm(headers); }
  [[nodiscard]] const metadata& initial_metadata() override { return facts().initial; }
  [[nodiscard]] const status& final_status() override { return facts().final; }
  [[nodiscard]] const metadata& trailing_metadata() override { return facts().trailing; }

  void cancel(cancel_reason why) noexcept override {
    section held{*call.net};
    // A call whose one response and status are here has ended, as it has when nothing is left to be read.
    if (call.status_known() && (in_.drained() || call.single_response())) return;
    call.end_client(held, why == cancel_reason::deadline ? deadline_exceeded() : cancelled(),
                    cancel_reason::cancelled);
  }
  void release() noexcept override {
    cancel_timers();
    {
      section held{*call.net};
      gone = true;
      for (stream_waiter*& one : waiters) one = nullptr;
      if (!call.status_known()) call.end_client(held, cancelled(), cancel_reason::cancelled);
      in_.drop_inbox();
      call.settle(held);
    }
    wait_until_posted(*call.net, posting);
    call.drop();
  }

 private:
  [[nodiscard]] client_facts& facts() const noexcept { return call.client; }
  [[nodiscard]] bool headers_known() const noexcept {
    return call.status_known() || (facts().headers_arrived && facts().headers_due <= now());
  }

  [[nodiscard]] bool closed() const noexcept override { return call.status_known() || out_.end_queued; }
  [[nodiscard]] next_message tail() const noexcept override {
    return call.status_known() && in_.drained() ? next_message::end : next_message::none;
  }
  void fail(section& held, status with) override {
    call.end_client(held, std::move(with), cancel_reason::cancelled);
  }
  [[nodiscard]] bool answered(slot which) noexcept override {
    if (which == headers) return headers_known();
    if (which == flushed) return call.status_known() || out_.flushed();
    return stream::answered(which);
  }

  static status cancelled() { return {status_code::CANCELLED, "CANCELLED"}; }
  static status deadline_exceeded() { return {status_code::DEADLINE_EXCEEDED, "Deadline Exceeded"}; }

  void step() noexcept override {
    std::int64_t headers_due = rill::detail::never;
    bool known = false;
    {
      section held{*call.net};
      posted = false;
      if (gone) return;
      if (facts().broken && !facts().over && (facts().at_once || !call.net->frozen)) {
        if (!call.status_known()) call.end_client(held, *facts().broken, cancel_reason::cancelled);
        facts().broken.reset();
      }
      out_.release();
      call.move(held);
      if (facts().headers_arrived) headers_due = facts().headers_due;
      known = call.status_known();
    }
    if (known) {
      at().cancel_timer(deadline_timer);
    } else if (!std::exchange(timed_, true)) {
      set_timer(deadline_timer, deadline_);
    }
    watch_arrivals(headers_due);
    fire_waiters();
  }
  void abandon() noexcept override {
    section held{*call.net};
    posted = false;
  }
  void deadline_passed() noexcept override {
    section held{*call.net};
    if (call.status_known()) return;
    call.end_client(held, deadline_exceeded(), cancel_reason::deadline);
  }

  std::int64_t deadline_;
  bool timed_ = false;
};

}  // namespace rill::testing::memory
