// A stay is two tasks side by side: one listens to the member, one tells it what happens. Whichever ends first ends
// the stay.
#include "service.hpp"

#include "../limits.hpp"

#include <rill/coro/when_any.hpp>
#include <rill/coro/with_cancellation.hpp>
#include <rill/coro/with_timeout.hpp>
#include <rill/rpc/status.hpp>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

namespace chat {

namespace {

using rill::status_code;
using rill::status_error;

void refuse_if(const std::string& wrong) {
  if (!wrong.empty()) throw status_error{status_code::INVALID_ARGUMENT, wrong};
}

/// What the member says. Ends when the member leaves.
rill::task<> listen(seat& at, rill::reader<v1::MemberEvent>& in, rill::writer<v1::RoomEvent>& out) {
  v1::MemberEvent event;
  while (co_await in.read(event)) {
    if (event.has_say()) {
      refuse_if(wrong_with_text(event.say().text()));
      co_await at.here().say(at.member(), event.say().text());
    } else if (event.has_who()) {
      v1::RoomEvent answer;
      for (const std::string& member : at.here().present()) answer.mutable_present()->add_members(member);
      co_await out.write(answer);
    } else {
      throw status_error{status_code::INVALID_ARGUMENT, "after joining, events are say and who"};
    }
  }
}

/// Brings a member the room's events, as fast as it takes them. Between the room and the member's connection there
/// are the seat's queue, the stream's write queue and gRPC's window, all of them bounded.
class teller {
 public:
  /// `stall_limit` is how long one event may take; empty: as long as it takes.
  teller(seat& at, rill::writer<v1::RoomEvent>& out, std::optional<std::chrono::nanoseconds> stall_limit)
      : seat_{at}, out_{out}, stall_limit_{stall_limit} {}

  /// Ends only by failing: with a member that is too slow, or by being cancelled.
  rill::task<> run() {
    while (true) {
      take(co_await seat_.events().receive());
      if (!next_) break;
      co_await deliver();
    }
    throw status_error{status_code::RESOURCE_EXHAUSTED, "you read too slowly; events for you ran over"};
  }

  /// What was told already and is still on its way, when the stay ends for another reason.
  rill::task<> rest() {
    if (!next_) take(seat_.events().try_receive());
    while (next_) {
      co_await deliver();
      take(seat_.events().try_receive());
    }
  }

 private:
  void take(std::optional<wire_event> event) {
    next_ = std::move(event);
    gap_ = seat_.events().missed();
  }
  /// Writes `next_`, and before it how many events were dropped before it.
  rill::task<> deliver() {
    if (gap_ != 0) {
      v1::RoomEvent missed;
      missed.mutable_missed()->set_events(gap_);
      co_await write(missed);
      gap_ = 0;
    }
    co_await write(*next_);
    next_.reset();
  }
  template <class Event>
  rill::task<> write(const Event& event) {
    if (stall_limit_) {
      // Not a status: that would wait behind everything this member does not take. The call is cut off.
      co_await rill::with_timeout(*stall_limit_, out_.write(event));
    } else {
      co_await out_.write(event);
    }
  }

  seat& seat_;
  rill::writer<v1::RoomEvent>& out_;
  const std::optional<std::chrono::nanoseconds> stall_limit_;
  std::optional<wire_event> next_;  // received, and not written yet
  std::uint64_t gap_ = 0;           // events dropped before it, and not admitted yet
};

}  // namespace

rill::task<> service::stay(rill::server_context& context, rill::reader<v1::MemberEvent>& in,
                           rill::writer<v1::RoomEvent>& out) {
  const std::string member = tokens_.identify(context.request_metadata());
  const std::string name = co_await joined_room(in);
  const std::shared_ptr<room> here = lobby_.find(name);
  seat mine = co_await here->enter(member);
  std::printf("%s entered %s\n", member.c_str(), name.c_str());
  co_await out.write(mine.welcome());

  teller mouth{mine, out, send_slow_away_ ? std::optional{options_.stall_limit} : std::nullopt};
  bool left = false;
  try {
    co_await rill::with_cancellation(context.draining(), rill::when_any(listen(mine, in, out), mouth.run()));
    left = true;
  } catch (const status_error& refused) {
    std::printf("%s sent away from %s: %s\n", member.c_str(), name.c_str(), refused.what());
    throw;
  } catch (const rill::timeout_error&) {
    std::printf("%s cut off from %s: takes nothing\n", member.c_str(), name.c_str());
    throw;
  } catch (const rill::operation_cancelled&) {
    // The member is gone, or the server is about to stop.
    std::printf("%s cut off from %s\n", member.c_str(), name.c_str());
    if (context.is_cancelled() || !context.draining().is_cancelled()) throw;
  }
  co_await mouth.rest();
  if (left) {
    std::printf("%s left %s\n", member.c_str(), name.c_str());
    co_return;
  }
  v1::RoomEvent goodbye;
  goodbye.mutable_closing()->set_reason("the server stops; what was said is kept");
  co_await out.write(goodbye);
  throw status_error{status_code::UNAVAILABLE, "the server stops"};
}

rill::task<std::string> service::joined_room(rill::reader<v1::MemberEvent>& in) {
  const std::optional<v1::MemberEvent> first = co_await rill::with_timeout(options_.join_limit, in.read());
  if (!first || !first->has_join()) {
    throw status_error{status_code::INVALID_ARGUMENT, "the first event must say which room to join"};
  }
  refuse_if(wrong_with_room(first->join().room()));
  co_return first->join().room();
}

}  // namespace chat
