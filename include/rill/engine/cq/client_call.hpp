// A call that a client makes over a gRPC channel, on one event loop.
#pragma once

#include "rill/coro/detail/frame_pool.hpp"
#include "rill/engine/cq/core.hpp"
#include "rill/engine/cq/event_loop.hpp"
#include "rill/engine/cq/stream.hpp"
#include "rill/rpc/byte_stream.hpp"

#include <grpc/support/alloc.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rill::cq {

/// Held by: its owner, and each batch under way. At zero it is gone.
///
/// A unary call is one batch. Other calls receive initial metadata and status in batches of their own from the start.
class client_call_object final : public stream<client_call, client_call_object> {
 public:
  static constexpr bool is_server = false;

  static void* operator new(std::size_t size) { return rill::detail::frame_pool::allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    rill::detail::frame_pool::deallocate(memory, size);
  }

  client_call_object(grpc::GenericStub& stub, const call_head& head, queue_limits limits,
                     compression algorithm, event_loop& loop)
      : stream{loop}, kind_{head.kind}, max_receive_{head.max_receive}, max_send_{head.max_send} {
    set_limits(head.queue, limits);
    if (head.deadline != rill::detail::never) context_.set_deadline(time_of(head.deadline));
    if (head.wait_for_ready) context_.set_wait_for_ready(true);
    if (head.credentials != nullptr) context_.set_credentials(*head.credentials);
    wait_for_ready_ = head.wait_for_ready;
    if (head.metadata != nullptr) {
      metadata_out_.reserve(head.metadata->size() + 1);
      for (const auto& [key, value] : *head.metadata) append(key, value);
    }
    if (head.compression != compression::unset) algorithm = head.compression;
    if (algorithm != compression::unset) append(compression_key, algorithm_name(algorithm));
    // Only creates the core call: the messages go through batches of rill's own.
    static thread_local std::string path;
    path.assign(head.path);
    static_cast<void>(stub.PrepareCall(&context_, path, &loop.queue()));
    call_ = context_.c_call();
    grpc_metadata_array_init(&initial_in_);
    grpc_metadata_array_init(&trailing_in_);
    hold();
    headers_wanted_ = kind_ == method_kind::client_streaming || kind_ == method_kind::bidi;
    flush_soon();
  }

  void writes_done() override {
    if (writes_done_) return;
    writes_done_ = true;
    flush_soon();
  }
  [[nodiscard]] bool headers_ready() const noexcept override { return headers_here_ || ended_; }
  bool arm_headers(stream_waiter& waiter) override {
    if (headers_ready()) return false;
    headers_waiter_ = &waiter;
    return true;
  }
  void disarm_headers() noexcept override { headers_waiter_ = nullptr; }
  [[nodiscard]] const metadata& initial_metadata() override {
    return read_once(initial_metadata_, initial_in_);
  }
  [[nodiscard]] const status& final_status() override { return status_; }
  [[nodiscard]] const metadata& trailing_metadata() override {
    return read_once(trailing_metadata_, trailing_in_);
  }

  char* reserve(std::size_t size) override { return refuses_to_send(size) ? nullptr : stream::reserve(size); }
  using stream::commit;
  void commit(const payload& bytes, write_options options) override {
    if (!refuses_to_send(bytes.size())) stream::commit(bytes, options);
  }
  void cancel(cancel_reason why) noexcept override {
    if (why == cancel_reason::deadline) {
      fail(status_code::DEADLINE_EXCEEDED, "Deadline Exceeded");
    } else {
      fail(status_code::CANCELLED, "CANCELLED");
    }
  }
  void release() noexcept override {
    read_waiter_ = room_waiter_ = flushed_waiter_ = headers_waiter_ = nullptr;
    cancel(cancel_reason::cancelled);
    unhold();
  }
  [[nodiscard]] std::string peer() override { return context_.peer(); }
  [[nodiscard]] void* native() noexcept override { return &context_; }

 private:
  friend class stream<client_call, client_call_object>;

  ~client_call_object() {
    grpc_metadata_array_destroy(&initial_in_);
    grpc_metadata_array_destroy(&trailing_in_);
    for (const grpc_metadata& one : metadata_out_) {
      grpc_slice_unref(one.key);
      grpc_slice_unref(one.value);
    }
  }

  // Called by stream.
  [[nodiscard]] static bool reads_outlive_death() noexcept { return true; }
  [[nodiscard]] next_message no_message() const noexcept {
    return ended_ && !reading_ ? next_message::end : next_message::none;
  }
  /// A client that reads before it writes has to send its headers first.
  void before_read() {
    headers_wanted_ = true;
    if (!headers_sent_) flush();
  }
  void read_ended(bool) noexcept {}
  [[nodiscard]] bool refuses_size(std::size_t size) const noexcept {
    return max_receive_ != 0 && size > max_receive_;
  }
  void message_too_large() noexcept {
    fail(status_code::RESOURCE_EXHAUSTED, "Received message larger than max");
    // The server's status may be here already, and a message is missing from what it says.
    status_ = status{status_code::RESOURCE_EXHAUSTED, "Received message larger than max"};
    status_replaced_ = true;
  }
  void send_failed() noexcept { close_writes(); }
  [[nodiscard]] bool wants_headers() const noexcept { return headers_wanted_; }
  [[nodiscard]] bool wants_tail() const noexcept { return writes_done_ && !half_closed_; }
  void add_headers(batch& ops) {
    grpc_op& op = ops.add(GRPC_OP_SEND_INITIAL_METADATA,
                          wait_for_ready_ ? GRPC_INITIAL_METADATA_WAIT_FOR_READY |
                                                GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET
                                          : 0U);
    op.data.send_initial_metadata.count = metadata_out_.size();
    op.data.send_initial_metadata.metadata = metadata_out_.data();
    op.data.send_initial_metadata.maybe_compression_level.is_set = 0;
    receiving_status_ = true;
    if (kind_ == method_kind::unary && writes_done_) {
      one_batch_ = reading_ = true;
      add_receive_headers(ops);
      ops.add(GRPC_OP_RECV_MESSAGE).data.recv_message.recv_message = &incoming_;
      add_receive_status(ops);
      return;
    }
    start_receiving(&client_call_object::add_receive_status, status_event_);
    start_receiving(&client_call_object::add_receive_headers, headers_event_);
  }
  void add_tail(batch& ops) {
    half_closed_ = true;
    ops.add(GRPC_OP_SEND_CLOSE_FROM_CLIENT);
  }
  /// The tag of a batch that sends; a unary call's is the tag of everything.
  void batch_sent() noexcept {
    if (!one_batch_) return;
    one_batch_ = reading_ = false;
    headers_here_ = true;
    read_ended_ = true;
    publish_incoming();
    status_arrived();
  }
  void gone() { delete this; }
  void die(cancel_reason why) noexcept { cancel(why); }

  void append(std::string_view key, std::string_view value) {
    grpc_metadata entry{};
    entry.key = grpc_slice_from_copied_buffer(key.data(), key.size());
    entry.value = grpc_slice_from_copied_buffer(value.data(), value.size());
    metadata_out_.push_back(entry);
  }
  void add_receive_headers(batch& ops) {
    ops.add(GRPC_OP_RECV_INITIAL_METADATA).data.recv_initial_metadata.recv_initial_metadata = &initial_in_;
  }
  void add_receive_status(batch& ops) {
    auto& data = ops.add(GRPC_OP_RECV_STATUS_ON_CLIENT).data.recv_status_on_client;
    data.trailing_metadata = &trailing_in_;
    data.status = &code_in_;
    data.status_details = &message_in_;
    data.error_string = nullptr;
  }
  void start_receiving(void (client_call_object::*add)(batch&), event& done) {
    batch ops;
    (this->*add)(ops);
    hold();
    if (!ops.start(call_, done)) {
      end_locally(status{status_code::INTERNAL, "the call could not be started"});
      unhold();
    }
  }
  [[nodiscard]] bool refuses_to_send(std::size_t size) noexcept {
    if (max_send_ == 0 || size <= max_send_) return false;
    fail(status_code::RESOURCE_EXHAUSTED, "Sent message larger than max");
    return true;
  }
  void fail(status_code code, const char* message) noexcept {
    if (ended_) return;
    close_writes();
    if (receiving_status_) {
      grpc_call_cancel_with_status(call_, static_cast<grpc_status_code>(code), message, nullptr);
    } else {
      end_locally(status{code, message});  // nothing was sent, so no tag would tell of the end
    }
  }
  void close_writes() noexcept {
    writes_closed_ = true;
    half_closed_ = true;
    drop_queue();
    fire(room_waiter_);
    fire(flushed_waiter_);
  }
  void status_arrived() noexcept {
    const std::string_view message = view_of(message_in_);
    std::string details;
    for (std::size_t i = 0; i < trailing_in_.count; ++i) {
      if (view_of(trailing_in_.metadata[i].key) == details_key)
        details = view_of(trailing_in_.metadata[i].value);
    }
    if (code_in_ != GRPC_STATUS_OK && !status_replaced_) {
      status_ = status{static_cast<status_code>(code_in_), std::string{message}, std::move(details)};
    }
    grpc_slice_unref(message_in_);
    message_in_ = grpc_empty_slice();
    end();
  }
  void end_locally(status ended) noexcept {
    if (ended_) return;
    status_ = std::move(ended);
    read_ended_ = true;
    end();
  }
  void end() noexcept {
    ended_ = true;
    close_writes();
    dead_ = true;
    fire(headers_waiter_);
    message_view seen;
    if (front(seen) != next_message::none) fire(read_waiter_);
  }
  static const metadata& read_once(metadata& into, const grpc_metadata_array& from) {
    if (into.empty()) {
      for (std::size_t i = 0; i < from.count; ++i) {
        into.append_received(view_of(from.metadata[i].key), view_of(from.metadata[i].value));
      }
    }
    return into;
  }

  static void on_headers(void* owner, bool) noexcept {
    auto& self = *static_cast<client_call_object*>(owner);
    self.headers_here_ = true;
    fire(self.headers_waiter_);
    self.unhold();
  }
  static void on_status(void* owner, bool) noexcept {
    auto& self = *static_cast<client_call_object*>(owner);
    self.status_arrived();
    self.unhold();
  }

  grpc::ClientContext context_;
  method_kind kind_;
  bool wait_for_ready_ = false;
  bool headers_wanted_ = false;
  bool headers_here_ = false;
  bool writes_done_ = false;
  bool half_closed_ = false;
  bool receiving_status_ = false;
  bool one_batch_ = false;
  bool ended_ = false;
  bool status_replaced_ = false;  // by one of this side's own
  std::size_t max_receive_;
  std::size_t max_send_;
  stream_waiter* headers_waiter_ = nullptr;
  std::vector<grpc_metadata> metadata_out_;
  grpc_metadata_array initial_in_;
  grpc_metadata_array trailing_in_;
  grpc_status_code code_in_ = GRPC_STATUS_OK;
  grpc_slice message_in_ = grpc_empty_slice();
  status status_;
  metadata initial_metadata_;
  metadata trailing_metadata_;
  event headers_event_{&on_headers, this};
  event status_event_{&on_status, this};
};

}  // namespace rill::cq
