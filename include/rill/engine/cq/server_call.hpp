// A call that a completion-queue server has accepted, or a posted request that waits for one.
#pragma once

#include "rill/coro/detail/frame_pool.hpp"
#include "rill/engine/cq/core.hpp"
#include "rill/engine/cq/event_loop.hpp"
#include "rill/engine/cq/stream.hpp"
#include "rill/rpc/byte_stream.hpp"

#include <grpcpp/server_context.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rill::cq {

class server_call_object;

/// What the calls of one loop need of their server.
class call_acceptor {
 public:
  /// Posts a request for a call of method `index`; `call` takes what comes.
  virtual void request(std::size_t index, server_call_object& call) = 0;
  virtual const method_entry& entry(std::size_t index) const noexcept = 0;
  virtual queue_limits default_limits() const noexcept = 0;
  virtual cancellation_token draining() noexcept = 0;
  /// The socket that `call` came by, or `no_socket`.
  virtual int socket_of(grpc_call* call) noexcept = 0;
  /// Whether the server has more calls than it may have, with the one that has just begun.
  virtual bool overloaded() const noexcept = 0;
  /// A posted request of method `index` has become a call: others are posted in its place.
  virtual void accepted(std::size_t index) = 0;
  /// A posted request came back, with a call that has begun or without one.
  virtual void request_ended() noexcept = 0;
  /// A call has been accepted, or has been freed.
  virtual void call_began(server_call_object& call) noexcept = 0;
  virtual void call_ended(server_call_object& call) noexcept = 0;

 protected:
  ~call_acceptor() = default;
};

/// One object for a call of any method. It begins as a posted request.
///
/// It is held by: the posted request; the handler; each batch under way; the done tag, once the call has started.
/// At zero it is gone.
class server_call_object final : public stream<server_call, server_call_object>,
                                 public rill::detail::list_link<server_call_object> {
 public:
  static constexpr bool is_server = true;

  static void* operator new(std::size_t size) { return rill::detail::frame_pool::allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    rill::detail::frame_pool::deallocate(memory, size);
  }

  server_call_object(call_acceptor& acceptor, event_loop& loop, std::size_t method)
      : stream{loop}, acceptor_{acceptor}, method_{method} {
    context_.AsyncNotifyWhenDone(done_event_.tag());
    hold();
    acceptor.request(method, *this);
  }

  // For the acceptor's request.
  [[nodiscard]] grpc::ServerContext& context() noexcept { return context_; }
  [[nodiscard]] request_bytes& first_message() noexcept { return first_message_; }
  [[nodiscard]] void* accepted_tag() noexcept { return accepted_event_.tag(); }
  [[nodiscard]] grpc::internal::ServerAsyncStreamingInterface& binding() noexcept { return binding_; }

  [[nodiscard]] std::string_view path() const noexcept override { return entry().path; }
  [[nodiscard]] std::int64_t deadline() const noexcept override { return deadline_; }
  [[nodiscard]] const metadata& request_metadata() override {
    if (!metadata_read_) {
      metadata_read_ = true;
      for (const auto& [key, value] : context_.client_metadata()) {
        request_metadata_.append_received({key.data(), key.size()}, {value.data(), value.size()});
      }
    }
    return request_metadata_;
  }
  [[nodiscard]] peer_identity identity() override {
    peer_identity known;
    const auto auth = context_.auth_context();
    if (auth == nullptr) return known;
    known.authenticated = auth->IsPeerAuthenticated();
    for (const auto& [name, value] : *auth) {
      known.properties.emplace_back(std::string{name.data(), name.size()},
                                    std::string{value.data(), value.size()});
    }
    return known;
  }
  [[nodiscard]] cancellation_token draining() noexcept override { return acceptor_.draining(); }
  [[nodiscard]] cancellation_token token() noexcept override { return source_.token(); }
  [[nodiscard]] std::string peer() override { return context_.peer(); }
  [[nodiscard]] void* native() noexcept override { return &context_; }

  void send_headers() override {
    if (headers_sent_) return;
    headers_wanted_ = true;
    flush();
  }
  [[nodiscard]] bool headers_sent() const noexcept override { return headers_sent_; }
  void finish(status ended) override {
    status_ = std::move(ended);
    finishing_ = true;
    writes_closed_ = true;
    flush();
    unhold();  // the handler's
  }
  void abort(status ended) override {
    drop_queue();
    finish(std::move(ended));
  }
  void cancel(cancel_reason why) noexcept override {
    if (dead_) return;
    grpc_call_cancel(call_, nullptr);
    die(why);
  }
  /// Trips the token and leaves the call open, so that the handler can still answer.
  void trip(cancel_reason why) noexcept { source_.cancel(why); }

 private:
  friend class stream<server_call, server_call_object>;

  // Called by stream.
  [[nodiscard]] static bool reads_outlive_death() noexcept { return false; }
  [[nodiscard]] next_message no_message() const noexcept {
    return half_closed_ ? next_message::end : next_message::none;
  }
  static void before_read() noexcept {}
  static void batch_sent() noexcept {}
  void read_ended(bool ok) noexcept {
    // The one rule that tells the end of a stream from a broken one, judged here, at the tag.
    half_closed_ = ok && !done_ && !dead_ && grpc_call_failed_before_recv_message(call_) == 0;
    if (!half_closed_) die(broken_reason());
  }
  [[nodiscard]] bool refuses_size(std::size_t size) const noexcept {
    const std::size_t most = entry().limits.max_receive;
    return most != 0 && size > most;
  }
  void message_too_large() {
    fail(status{status_code::RESOURCE_EXHAUSTED, "Received message larger than max"});
  }
  void send_failed() noexcept { die(broken_reason()); }
  [[nodiscard]] bool wants_headers() const noexcept { return headers_wanted_; }
  [[nodiscard]] bool wants_tail() const noexcept { return finishing_ && !status_sent_; }
  void add_headers(batch& ops) {
    grpc_op& op = ops.add(GRPC_OP_SEND_INITIAL_METADATA);
    append(initial_out_, initial_metadata);
    if (response_compression != compression::unset) {
      append(initial_out_, compression_key, algorithm_name(response_compression));
    }
    op.data.send_initial_metadata.count = initial_out_.size();
    op.data.send_initial_metadata.metadata = initial_out_.data();
    op.data.send_initial_metadata.maybe_compression_level.is_set = 0;
  }
  void add_tail(batch& ops) {
    status_sent_ = true;
    grpc_op& op = ops.add(GRPC_OP_SEND_STATUS_FROM_SERVER);
    append(trailing_out_, trailing_metadata);
    auto& data = op.data.send_status_from_server;
    data.status = static_cast<grpc_status_code>(status_.error_code());
    data.status_details = nullptr;
    if (!status_.ok()) {
      message_ = status_.error_message();
      details_ = status_.error_details();
      if (!message_.empty()) {
        message_slice_ = grpc_slice_from_static_buffer(message_.data(), message_.size());
        data.status_details = &message_slice_;
      }
      if (!details_.empty()) append(trailing_out_, details_key, details_);
    }
    data.trailing_metadata_count = trailing_out_.size();
    data.trailing_metadata = trailing_out_.data();
  }
  void cork() noexcept {
    if (!socket_known_) {
      socket_known_ = true;
      socket_ = acceptor_.socket_of(call_);
    }
    if (socket_ != no_socket) loop_->cork(socket_);
  }
  void gone() {
    if (started_) acceptor_.call_ended(*this);
    delete this;
  }
  void die(cancel_reason why) noexcept {
    if (dead_) return;
    dead_ = true;
    source_.cancel(why);
    drop_and_fire();
  }

  static void append(std::vector<grpc_metadata>& out, std::string_view key, std::string_view value) {
    grpc_metadata entry{};
    entry.key = grpc_slice_from_static_buffer(key.data(), key.size());
    entry.value = grpc_slice_from_static_buffer(value.data(), value.size());
    out.push_back(entry);
  }
  static void append(std::vector<grpc_metadata>& out, const metadata& from) {
    for (const auto& [key, value] : from) append(out, key, value);
  }

  [[nodiscard]] const method_entry& entry() const noexcept { return acceptor_.entry(method_); }
  [[nodiscard]] cancel_reason broken_reason() const noexcept {
    return deadline_ != rill::detail::never && loop_->now() >= deadline_ ? cancel_reason::deadline
                                                                         : cancel_reason::cancelled;
  }
  /// Ends the call for a reason of the engine's, which the handler's status does not replace.
  void fail(const status& why) {
    grpc_call_cancel_with_status(call_, static_cast<grpc_status_code>(why.error_code()),
                                 why.error_message().c_str(), nullptr);
    die(cancel_reason::cancelled);
  }

  static void on_accepted(void* owner, bool ok) noexcept {
    auto& self = *static_cast<server_call_object*>(owner);
    if (!ok) {
      self.acceptor_.request_ended();
      self.unhold();  // the request's; the server is stopping, and the done tag will not come
      return;
    }
    self.acceptor_.accepted(self.method_);
    self.started_ = true;
    self.acceptor_.call_began(self);
    self.acceptor_.request_ended();
    self.call_ = self.context_.c_call();
    self.deadline_ = steady_from(self.context_.raw_deadline());
    const method_entry& entry = self.entry();
    self.set_limits(entry.limits.queue, self.acceptor_.default_limits());
    if (entry.kind == method_kind::unary || entry.kind == method_kind::server_streaming) {
      self.front_ = self.first_message_.buffer;
      self.read_ended_ = self.half_closed_ = true;
    }
    self.hold();  // the done tag's; the request's becomes the handler's
    if (self.front_ != nullptr && self.refuses_size(self.front_->data.raw.slice_buffer.length)) {
      self.message_too_large();
      self.unhold();
      return;
    }
    if (self.acceptor_.overloaded()) {
      self.finish(status{status_code::RESOURCE_EXHAUSTED, "the server has too many calls at once"});
      return;
    }
    self.loop_->pulse().run_task(entry.path);
    entry.start(self, entry.handler);
  }
  static void on_done(void* owner, bool) noexcept {
    auto& self = *static_cast<server_call_object*>(owner);
    self.done_ = true;
    if (self.context_.IsCancelled()) {
      self.die(self.broken_reason());
    }
    self.unhold();
  }

  class call_binding final : public grpc::internal::ServerAsyncStreamingInterface {
   public:
    void SendInitialMetadata(void*) override {}

   private:
    void BindCall(grpc::internal::Call*) override {}
  };

  call_acceptor& acceptor_;
  std::size_t method_;
  grpc::ServerContext context_;
  call_binding binding_;
  request_bytes first_message_;
  std::int64_t deadline_ = rill::detail::never;
  cancellation_source source_;
  status status_;
  std::string message_;
  std::string details_;
  grpc_slice message_slice_{};
  metadata request_metadata_;
  std::vector<grpc_metadata> initial_out_;
  std::vector<grpc_metadata> trailing_out_;
  bool started_ = false;
  bool half_closed_ = false;
  bool done_ = false;
  bool headers_wanted_ = false;
  bool finishing_ = false;
  bool status_sent_ = false;
  bool metadata_read_ = false;
  bool socket_known_ = false;
  int socket_ = no_socket;
  event accepted_event_{&on_accepted, this};
  event done_event_{&on_done, this};
};

}  // namespace rill::cq
