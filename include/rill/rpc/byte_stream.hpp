// The seam: what an engine gives for a call, in bytes. Everything typed stands above it, every engine below.
#pragma once

#include "rill/coro/cancellation.hpp"
#include "rill/coro/detail/timer_heap.hpp"
#include "rill/coro/scheduler.hpp"
#include "rill/rpc/call_options.hpp"
#include "rill/rpc/message.hpp"
#include "rill/rpc/method.hpp"
#include "rill/rpc/status.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rill {

/// Waits for an engine, once. `fire` runs on the stream's loop, inside the engine: it claims the wait and posts, and
/// never resumes a task. Firing disarms.
struct stream_waiter {
  void (*fire)(stream_waiter& self) noexcept;
};

/// What `byte_stream::front` sees.
enum class next_message : std::uint8_t {
  none,     ///< Nothing yet: arm a waiter.
  message,  ///< A message, which stays until `pop` or `take`.
  end,      ///< The peer has ended its side. On a client: no message is left and the status is known.
  dead,     ///< The call is broken or cancelled. On a client the status tells; it never sees this.
};

/// What `byte_stream::has_room` sees.
enum class stream_room : std::uint8_t { no, yes, dead };

/// One call's messages, both ways.
///
/// *Concurrency*: every member on `home()` only, unless it says otherwise. Everything may complete at once. A waiter that was
/// disarmed has taken nothing.
class byte_stream {
 public:
  byte_stream(const byte_stream&) = delete;
  byte_stream& operator=(const byte_stream&) = delete;

  /// Looks at the next message and takes nothing.
  virtual next_message front(message_view& into) = 0;
  /// Drops the front message, after it was parsed: its bytes and its window go back.
  virtual void pop() = 0;
  /// Takes the front message's bytes along; they outlive the call.
  virtual payload take() = 0;
  /// Fires `waiter` once `front` has an answer; false, and nothing armed, if it has one now. One waiter.
  virtual bool arm_read(stream_waiter& waiter) = 0;
  virtual void disarm_read() noexcept = 0;

  /// Room for exactly `size` bytes, to be filled before `commit`; null if the call is dead. Only while `has_room()`
  /// is yes; one message of any size may be put into an empty queue.
  virtual char* reserve(std::size_t size) = 0;
  /// Queues what was reserved. It leaves when the task next suspends or ends, together with what follows at once.
  virtual void commit(write_options options) = 0;
  /// Queues shared bytes.
  virtual void commit(const payload& bytes, write_options options) = 0;
  virtual stream_room has_room() = 0;
  /// Fires `waiter` once there is room, or never will be; false, and nothing armed, if that is so now. One waiter.
  virtual bool arm_room(stream_waiter& waiter) = 0;
  virtual void disarm_room() noexcept = 0;
  /// Fires `waiter` once everything committed is with the transport, or the call is dead; false if so now. One waiter.
  virtual bool arm_flushed(stream_waiter& waiter) = 0;
  virtual void disarm_flushed() noexcept = 0;

  /// Breaks the call: queued messages are dropped, waiters fire, a server call's token trips.
  virtual void cancel(cancel_reason why) noexcept = 0;
  /// Where the stream's members are to be called, and where its waiters fire.
  [[nodiscard]] virtual scheduler& home() noexcept = 0;
  /// The peer's address, such as "ipv4:127.0.0.1:50000".
  [[nodiscard]] virtual std::string peer() = 0;
  /// The engine's own call object, for what only it can do: `grpc::ServerContext*` or `grpc::ClientContext*`, or null.
  [[nodiscard]] virtual void* native() noexcept { return nullptr; }

 protected:
  byte_stream() = default;
  ~byte_stream() = default;
};

/// What the transport knows about the peer's identity, such as its certificate.
struct peer_identity {
  bool authenticated = false;
  std::vector<std::pair<std::string, std::string>> properties;  ///< Such as "x509_common_name".

  [[nodiscard]] std::vector<std::string_view> find(std::string_view name) const {
    std::vector<std::string_view> values;
    for (const auto& [key, value] : properties) {
      if (key == name) values.push_back(value);
    }
    return values;
  }
};

/// A call that a server accepted. Its handler's last touch is `finish`, which it calls exactly once.
///
/// The call's token is tripped by the engine when the call dies: cancelled, disconnected, past its deadline, shut down.
class server_call : public byte_stream {
 public:
  [[nodiscard]] virtual std::string_view path() const noexcept = 0;
  /// In nanoseconds of the steady clock; `detail::never` if there is none.
  [[nodiscard]] virtual std::int64_t deadline() const noexcept = 0;
  [[nodiscard]] virtual const metadata& request_metadata() = 0;
  [[nodiscard]] virtual peer_identity identity() = 0;
  /// Trips when the server begins to shut down. *Concurrency*: any thread.
  [[nodiscard]] virtual cancellation_token draining() noexcept = 0;
  [[nodiscard]] virtual cancellation_token token() noexcept = 0;

  /// Sends the initial metadata now, before the first message. No effect if it was sent.
  virtual void send_headers() = 0;
  [[nodiscard]] virtual bool headers_sent() const noexcept = 0;
  /// Ends the call after the queued messages, with its trailing metadata. The call may be gone when it returns. If
  /// the call is dead already, or the engine broke it for a reason of its own, `ended` is not what the client sees.
  virtual void finish(status ended) = 0;
  /// Drops what is queued, then ends the call.
  virtual void abort(status ended) = 0;

  metadata initial_metadata;   ///< Sent with the first message, by `send_headers` or with the status.
  metadata trailing_metadata;  ///< Sent with the status.
  rill::compression response_compression =
      rill::compression::unset;  ///< Looked at when the initial metadata is sent.

 protected:
  server_call() = default;
  ~server_call() = default;
};

/// A call that a client makes. Its owner's last touch is `release`.
class client_call : public byte_stream {
 public:
  /// Half-closes after the queued messages.
  virtual void writes_done() = 0;
  /// Whether the server's initial metadata is here, or never will be.
  [[nodiscard]] virtual bool headers_ready() const noexcept = 0;
  /// Fires `waiter` once `headers_ready()`; false, and nothing armed, if it is so now. One waiter.
  virtual bool arm_headers(stream_waiter& waiter) = 0;
  virtual void disarm_headers() noexcept = 0;
  [[nodiscard]] virtual const metadata& initial_metadata() = 0;
  /// Once `front` gave `end`.
  [[nodiscard]] virtual const status& final_status() = 0;
  /// Once `front` gave `end`.
  [[nodiscard]] virtual const metadata& trailing_metadata() = 0;
  /// Lets go of the call; cancels it if it has not ended. Never blocks.
  virtual void release() noexcept = 0;

 protected:
  client_call() = default;
  ~client_call() = default;
};

/// Bounds of one call.
struct call_limits {
  queue_limits queue;
  std::size_t max_receive = 0;  ///< Bytes of one message; zero: the engine's.
};

/// What a client call begins with. *Lifetime*: during `open`.
struct call_head {
  std::string_view path;
  method_kind kind = method_kind::unary;
  std::int64_t deadline = detail::never;
  const rill::metadata* metadata = nullptr;
  bool wait_for_ready = false;
  rill::compression compression = rill::compression::unset;
  std::size_t max_receive = 0;
  std::size_t max_send = 0;
  queue_limits queue;
  const std::shared_ptr<grpc::CallCredentials>* credentials = nullptr;
};

/// Opens calls: a connection to a server, or a server in the same process. *Concurrency*: `open` from any home's thread.
class connector {
 public:
  connector() = default;
  connector(const connector&) = delete;
  connector& operator=(const connector&) = delete;
  virtual ~connector() = default;

  /// Begins a call whose members are used, and whose waiters fire, on `home`.
  virtual client_call& open(const call_head& head, scheduler& home) = 0;
};

/// A method that a server handles. `start` is called on the call's loop for each call; it never throws.
struct method_entry {
  const char* path = nullptr;
  method_kind kind = method_kind::unary;
  call_limits limits;
  void (*start)(server_call& call, void* handler) noexcept = nullptr;
  void* handler = nullptr;
};

}  // namespace rill
