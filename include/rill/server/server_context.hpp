// server_context: what a handler knows of its call, and what it can say beside its messages.
#pragma once

#include "rill/coro/detail/awaitable.hpp"
#include "rill/coro/task_context.hpp"
#include "rill/rpc/byte_stream.hpp"
#include "rill/rpc/metadata.hpp"
#include "rill/server/detail/server_side.hpp"

#include <chrono>
#include <coroutine>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace rill {

namespace detail {

/// A value that a handler or middleware attached to its call.
struct attached_value {
  attached_value() noexcept = default;
  attached_value(const attached_value&) = delete;
  attached_value& operator=(const attached_value&) = delete;
  virtual ~attached_value() = default;

  context_value node{};
  attached_value* older = nullptr;
};

template <class T>
struct attached final : attached_value {
  explicit attached(T&& from) : value{std::move(from)} {}
  T value;
};

/// `send_initial_metadata()`: sends it when awaited, without suspending.
class [[nodiscard]] send_headers_awaiter {
 public:
  explicit send_headers_awaiter(server_side& side) noexcept : side_{side} {}
  void rill_bind(task_context& context) const { side_.bind(context); }
  [[nodiscard]] bool await_ready() const {
    if (side_.call().token().is_cancelled()) side_.at_dead();
    side_.call().send_headers();
    return true;
  }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  void await_resume() const noexcept {}

 private:
  server_side& side_;
};

}  // namespace detail

/// A handler's view of its call.
/// *Concurrency*: tasks of the call's home only. *Lifetime*: until the handler returns.
class server_context {
 public:
  /// `task` is the context that the handler runs under; attached values flow along with it.
  server_context(server_call& call, task_context& task) noexcept : side_{call}, task_{task} {}
  server_context(const server_context&) = delete;
  server_context& operator=(const server_context&) = delete;
  ~server_context() {
    while (values_ != nullptr) delete std::exchange(values_, values_->older);
  }

  /// What the client sent before its messages.
  [[nodiscard]] const metadata& request_metadata() { return call().request_metadata(); }
  /// Sent before the first response; changes after that have no effect.
  [[nodiscard]] metadata& initial_metadata() noexcept { return call().initial_metadata; }
  /// Sent with the status.
  [[nodiscard]] metadata& trailing_metadata() noexcept { return call().trailing_metadata; }
  /// Sends the initial metadata now, for a stream that has nothing to say yet. It leaves when the task next suspends;
  /// no effect if it was sent. *Completes* at once. *Throws*: `operation_cancelled` when the call is dead.
  detail::send_headers_awaiter send_initial_metadata() noexcept {
    return detail::send_headers_awaiter{side_};
  }
  /// How the responses are compressed. Before the initial metadata is sent.
  void set_compression(compression how) noexcept { call().response_compression = how; }

  /// The method's path, such as "/helloworld.Greeter/SayHello".
  [[nodiscard]] std::string_view path() const noexcept { return call().path(); }
  /// The path's last part, such as "SayHello".
  [[nodiscard]] std::string_view method() const noexcept {
    const std::string_view whole = path();
    return whole.substr(whole.rfind('/') + 1);
  }
  /// The client's address, such as "ipv4:127.0.0.1:50000".
  [[nodiscard]] std::string peer() { return call().peer(); }
  /// What the transport knows about the client, such as its certificate.
  [[nodiscard]] peer_identity identity() { return call().identity(); }

  /// When the client gives up; empty if it never does.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> deadline() const noexcept {
    const std::int64_t moment = call().deadline();
    if (moment == detail::never) return std::nullopt;
    return std::chrono::steady_clock::time_point{
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::nanoseconds{moment})};
  }
  /// Trips when the call dies: the client cancelled or went away, the deadline passed, the server stopped.
  [[nodiscard]] cancellation_token token() noexcept { return call().token(); }
  [[nodiscard]] bool is_cancelled() noexcept { return token().is_cancelled(); }
  /// Trips when the server begins to shut down, so that long streams can end themselves.
  [[nodiscard]] cancellation_token draining() noexcept { return call().draining(); }

  /// Attaches a value to the call; it hides an earlier one of its type. Tasks that the handler awaits from then on
  /// see it in their context. *Lifetime*: until the handler has returned.
  template <class T>
  T& set(T value) {
    auto* added = new detail::attached<T>{std::move(value)};
    added->older = std::exchange(values_, added);
    added->node = {&detail::type_key<T>, &added->value, task_.values};
    task_.values = &added->node;
    return added->value;
  }
  /// The value of type `T` that was attached last, or null.
  template <class T>
  [[nodiscard]] T* get() noexcept {
    for (detail::attached_value* at = values_; at != nullptr; at = at->older) {
      if (at->node.key == &detail::type_key<T>) return &static_cast<detail::attached<T>*>(at)->value;
    }
    return nullptr;
  }

  /// The engine's own call object: `grpc::ServerContext*` for gRPC's engine, null where there is none.
  template <class T = void>
  [[nodiscard]] T* native() noexcept {
    return static_cast<T*>(call().native());
  }

  /// For readers and writers of this call.
  [[nodiscard]] detail::server_side& side() noexcept { return side_; }

 private:
  [[nodiscard]] server_call& call() const noexcept { return side_.call(); }

  detail::server_side side_;
  task_context& task_;
  detail::attached_value* values_ = nullptr;
};

}  // namespace rill
