// Lets any number of tasks wait for something that a stream tells one waiter only.
#pragma once

#include "rill/coro/operation.hpp"
#include "rill/rpc/byte_stream.hpp"

namespace rill::detail {

/// A task's place in a `shared_wait`.
struct shared_turn : list_link<> {
  detail::waiter* waiter = nullptr;
};

/// `Arm` and `Disarm` are the members of `Stream` for what is waited for. All waits complete together.
template <class Stream, auto Arm, auto Disarm>
class shared_wait : private stream_waiter {
 public:
  shared_wait() noexcept : stream_waiter{&on_fire} {}
  shared_wait(const shared_wait&) = delete;
  shared_wait& operator=(const shared_wait&) = delete;

  /// False, and nothing published, if there is nothing to wait for.
  bool arm(Stream& stream, shared_turn& turn, detail::waiter& waiter) {
    if (!armed_) {
      if (!(stream.*Arm)(*this)) return false;
      armed_ = true;
    }
    turn.waiter = &waiter;
    waiting_.push_back(turn);
    return true;
  }
  void disarm(Stream& stream, shared_turn& turn) noexcept {
    turn.unlink();
    if (!armed_ || !waiting_.empty()) return;
    armed_ = false;
    (stream.*Disarm)();
  }

 private:
  static void on_fire(stream_waiter& waiter) noexcept {
    auto& self = static_cast<shared_wait&>(waiter);
    self.armed_ = false;
    while (shared_turn* turn = self.waiting_.pop_front()) {
      if (turn->waiter->claim()) turn->waiter->wake();
    }
  }

  bool armed_ = false;
  intrusive_list<shared_turn> waiting_;
};

using flush_wait = shared_wait<byte_stream, &byte_stream::arm_flushed, &byte_stream::disarm_flushed>;
using headers_wait = shared_wait<client_call, &client_call::arm_headers, &client_call::disarm_headers>;

}  // namespace rill::detail
