// Uses the seam raw, without the typed shell: waits on a byte_stream, handlers of bytes, calls of bytes.
#pragma once

#include <rill/coro/detail/root.hpp>
#include <rill/coro/operation.hpp>
#include <rill/coro/task.hpp>
#include <rill/rpc/byte_stream.hpp>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace seam {

/// One wait on a stream: `Traits` says which.
template <class Traits>
class stream_wait : public rill::detail::operation<stream_wait<Traits>>, private rill::stream_waiter {
 public:
  using stream = typename Traits::stream;

  explicit stream_wait(stream& on) noexcept : stream_waiter{&on_fire}, stream_{on} {}

  bool poll() { return Traits::ready(stream_); }
  bool arm(rill::detail::waiter& waiter) {
    waiter_ = &waiter;
    if (Traits::arm(stream_, *this)) return false;
    return waiter.claim();
  }
  void disarm() noexcept { Traits::disarm(stream_); }
  auto take() { return Traits::take(stream_); }

 private:
  static void on_fire(rill::stream_waiter& self) noexcept {
    rill::detail::waiter* waiter = static_cast<stream_wait&>(self).waiter_;
    if (waiter->claim()) waiter->wake();
  }

  stream& stream_;
  rill::detail::waiter* waiter_ = nullptr;
};

struct read_traits {
  using stream = rill::byte_stream;
  static bool ready(stream& on) {
    rill::message_view view;
    return on.front(view) != rill::next_message::none;
  }
  static bool arm(stream& on, rill::stream_waiter& waiter) { return on.arm_read(waiter); }
  static void disarm(stream& on) noexcept { on.disarm_read(); }
  static rill::next_message take(stream& on) {
    rill::message_view view;
    return on.front(view);
  }
};
struct room_traits {
  using stream = rill::byte_stream;
  static bool ready(stream& on) { return on.has_room() != rill::stream_room::no; }
  static bool arm(stream& on, rill::stream_waiter& waiter) { return on.arm_room(waiter); }
  static void disarm(stream& on) noexcept { on.disarm_room(); }
  static rill::stream_room take(stream& on) { return on.has_room(); }
};
/// Has no look that arms nothing, so it always arms.
struct flushed_traits {
  using stream = rill::byte_stream;
  static bool ready(stream&) { return false; }
  static bool arm(stream& on, rill::stream_waiter& waiter) { return on.arm_flushed(waiter); }
  static void disarm(stream& on) noexcept { on.disarm_flushed(); }
  static void take(stream&) {}
};
struct headers_traits {
  using stream = rill::client_call;
  static bool ready(stream& on) { return on.headers_ready(); }
  static bool arm(stream& on, rill::stream_waiter& waiter) { return on.arm_headers(waiter); }
  static void disarm(stream& on) noexcept { on.disarm_headers(); }
  static const rill::metadata& take(stream& on) { return on.initial_metadata(); }
};

inline auto answer(rill::byte_stream& on) { return stream_wait<read_traits>{on}; }
inline auto room(rill::byte_stream& on) { return stream_wait<room_traits>{on}; }
inline auto flushed(rill::byte_stream& on) { return stream_wait<flushed_traits>{on}; }
inline auto headers(rill::client_call& on) { return stream_wait<headers_traits>{on}; }

inline std::string text_of(const rill::message_view& view) {
  std::string text;
  for (unsigned i = 0; i < view.pieces; ++i) text.append(view[i].data, view[i].size);
  return text;
}

/// The next message; empty at the end of the stream. *Throws*: `operation_cancelled` on a dead call.
inline rill::task<std::optional<std::string>> read(rill::byte_stream& from) {
  const rill::next_message next = co_await answer(from);
  if (next == rill::next_message::dead) throw rill::operation_cancelled{};
  if (next == rill::next_message::end) co_return std::nullopt;
  rill::message_view view;
  static_cast<void>(from.front(view));
  std::string text = text_of(view);
  from.pop();
  co_return text;
}

/// Queues a message that there is room for; false if the call is dead.
inline bool put(rill::byte_stream& to, std::string_view text) {
  char* into = to.reserve(text.size());
  if (into == nullptr) return false;
  text.copy(into, text.size());
  to.commit({});
  return true;
}

/// Waits for room, then queues; false if the call is dead.
inline rill::task<bool> write(rill::byte_stream& to, std::string_view text) {
  const rill::stream_room found = co_await room(to);
  co_return found == rill::stream_room::yes&& put(to, text);
}

/// Reads and drops what is left, and gives the status.
inline rill::task<rill::status> ended(rill::client_call& call) {
  bool more = true;
  while (more) {
    const std::optional<std::string> message = co_await read(call);
    more = message.has_value();
  }
  co_return call.final_status();
}

/// Handles the calls of one method.
using handler = std::function<rill::task<rill::status>(rill::server_call&)>;

struct method {
  const char* path;
  rill::method_kind kind;
  handler handle;
  rill::call_limits limits = {};
};

inline rill::detail::root serve(rill::server_call& call, handler& handle) {
  rill::status ended;
  bool cancelled = false;
  try {
    ended = co_await handle(call);
  } catch (const rill::operation_cancelled&) {
    cancelled = true;
  }
  if (cancelled) {
    call.abort({rill::status_code::CANCELLED, "the handler was cancelled"});
  } else {
    call.finish(ended);
  }
}

inline rill::method_entry entry_of(method& of) {
  rill::method_entry entry;
  entry.path = of.path;
  entry.kind = of.kind;
  entry.limits = of.limits;
  entry.handler = &of.handle;
  entry.start = [](rill::server_call& call, void* handle) noexcept {
    rill::task_context context;
    context.home = &call.home();
    context.token = call.token();
    context.deadline = call.deadline();
    serve(call, *static_cast<handler*>(handle)).start(context);
  };
  return entry;
}

inline std::vector<rill::method_entry> entries_of(std::vector<method>& methods) {
  std::vector<rill::method_entry> entries;
  for (method& one : methods) entries.push_back(entry_of(one));
  return entries;
}

/// What a fixture is asked for besides methods. Zero: the engine's own.
struct settings {
  std::size_t window = 0;
  rill::queue_limits queue = {};
};

/// Where a test's client lives.
struct client {
  rill::connector& to;
  rill::scheduler& home;

  static rill::call_head head(const char* path, rill::method_kind kind) {
    rill::call_head head;
    head.path = path;
    head.kind = kind;
    return head;
  }
};

/// A client's call, let go of at the end of its scope.
class opened {
 public:
  opened(rill::connector& to, const rill::call_head& head, rill::scheduler& home)
      : call_{&to.open(head, home)} {}
  opened(const opened&) = delete;
  opened& operator=(const opened&) = delete;
  ~opened() { release(); }

  void release() noexcept {
    if (rill::client_call* call = std::exchange(call_, nullptr)) call->release();
  }
  rill::client_call& operator*() const noexcept { return *call_; }
  rill::client_call* operator->() const noexcept { return call_; }

 private:
  rill::client_call* call_;
};

}  // namespace seam
