// The client's end of a streaming call as its typed operations see it.
#pragma once

#include "rill/client/detail/call_setup.hpp"
#include "rill/coro/errors.hpp"
#include "rill/coro/task.hpp"
#include "rill/rpc/byte_stream.hpp"
#include "rill/rpc/read_operation.hpp"
#include "rill/rpc/status.hpp"
#include "rill/rpc/write_operation.hpp"

#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace rill {

/// What `finish` does with messages that were not read.
enum class unread : std::uint8_t {
  discard,  ///< Reads and drops them, until the server ends the call.
  cancel,   ///< Cancels the call.
};

namespace detail {

/// Opens its call for the first operation, whose task lends home and deadline. Its place never changes.
class client_side {
 public:
  explicit client_side(call_setup&& setup, payload request = {})
      : setup_{std::move(setup)}, request_{std::move(request)} {
    if (setup_.options.metadata != nullptr) metadata_ = *setup_.options.metadata;
    if (setup_.options.credentials != nullptr) credentials_ = *setup_.options.credentials;
  }
  client_side(const client_side&) = delete;
  client_side& operator=(const client_side&) = delete;
  ~client_side() {
    if (call_ != nullptr) call_->release();
  }

  [[nodiscard]] client_call& stream() const noexcept { return *call_; }
  [[nodiscard]] bool open() const noexcept { return call_ != nullptr; }
  void bind(const task_context& context) {
    if (call_ == nullptr) {
      if (!context.token.is_cancelled()) make(context);
    } else if (context.home != home_) {
      throw usage_error{"rill: a call is used by tasks of one home only: the one that used it first"};
    }
  }

  void at_end() {
    if (status ended = verdict(); !ended.ok()) throw error(std::move(ended));
  }
  [[noreturn]] void at_dead() const { throw operation_cancelled{}; }
  [[noreturn]] void unparsable() {
    spoil(malformed_response());
    throw error(malformed_response());
  }
  [[nodiscard]] bool write_accepted() const noexcept { return true; }
  [[nodiscard]] bool write_refused() {
    if (ended()) at_end();
    return false;
  }

  /// The call ends with `verdict`, whatever the server says.
  void spoil(status verdict) {
    if (!verdict_) verdict_ = std::move(verdict);
    call_->cancel(cancel_reason::cancelled);
  }
  void cancel() noexcept {
    cancelled_ = true;
    if (call_ != nullptr) call_->cancel(cancel_reason::cancelled);
  }
  /// Whether every message was read and the status is known.
  [[nodiscard]] bool ended() const {
    message_view next;
    return call_ != nullptr && call_->front(next) == next_message::end;
  }
  /// How the call ended, once it has.
  [[nodiscard]] status verdict() const { return verdict_ ? *verdict_ : call_->final_status(); }
  [[nodiscard]] status_error error(status failed) const {
    return status_error{std::move(failed), trailing_metadata()};
  }
  [[nodiscard]] const metadata& trailing_metadata() const {
    static const metadata none;
    return ended() ? call_->trailing_metadata() : none;
  }
  [[nodiscard]] std::string peer() const { return call_ != nullptr ? call_->peer() : std::string{}; }

  read_gate reads;
  write_gate writes;
  flush_wait flushes;
  headers_wait headers;

 private:
  void make(const task_context& context) {
    if (setup_.options.metadata != nullptr) setup_.options.metadata = &metadata_;
    if (setup_.options.credentials != nullptr) setup_.options.credentials = &credentials_;
    call_ = &setup_.open(context);
    home_ = context.home;
    writes.open(*call_);
    if (setup_.kind == method_kind::server_streaming) {
      call_->commit(std::exchange(request_, {}), {});
      call_->writes_done();
    }
    if (cancelled_) call_->cancel(cancel_reason::cancelled);
  }

  call_setup setup_;
  payload request_;
  metadata metadata_;
  std::shared_ptr<grpc::CallCredentials> credentials_;
  client_call* call_ = nullptr;
  scheduler* home_ = nullptr;
  std::optional<status> verdict_;
  bool cancelled_ = false;
};

/// `writes_done()`: half-closes behind the writes that came before it.
class [[nodiscard]] half_close_operation : public write_wait<half_close_operation, client_side> {
 public:
  explicit half_close_operation(client_side& side) noexcept : write_wait{side, false} {}

  void take() {
    if (side_.writes.half_closed()) return;
    side_.writes.half_close();
    side_.stream().writes_done();
  }
};

/// `initial_metadata()`: what the server sent before its messages.
class [[nodiscard]] headers_operation : public operation<headers_operation>, private shared_turn {
 public:
  explicit headers_operation(client_side& side) noexcept : side_{side} {}
  headers_operation(headers_operation&& other) noexcept
      : operation<headers_operation>{std::move(other)}, side_{other.side_} {}
  headers_operation& operator=(headers_operation&&) = delete;

  void rill_bind(task_context& context) {
    operation<headers_operation>::rill_bind(context);
    side_.bind(context);
  }
  bool poll() noexcept { return side_.stream().headers_ready(); }
  bool arm(detail::waiter& claim) {
    return !side_.headers.arm(side_.stream(), *this, claim) && claim.claim();
  }
  void disarm() noexcept { side_.headers.disarm(side_.stream(), *this); }
  [[nodiscard]] const metadata& take() const { return side_.stream().initial_metadata(); }

 private:
  client_side& side_;
};

/// Takes a response without judging how the call ends; false at the end.
template <class T>
class [[nodiscard]] response_operation : public read_wait<response_operation<T>, client_side> {
 public:
  response_operation(client_side& side, T& response) noexcept
      : read_wait<response_operation, client_side>{side}, response_{response} {}

  [[nodiscard]] bool take() {
    if (this->seen() != next_message::message) return false;
    if (!this->parse(response_)) this->side_.spoil(malformed_response());
    return true;
  }

 private:
  T& response_;
};

/// Half-closes, takes the one response, and waits for the end.
template <class T>
task<result<T>> finish_with_response(client_side& side) {
  T response;
  co_await half_close_operation{side};
  const bool responded = co_await response_operation<T>{side, response};
  bool more = responded;
  while (more) {
    more = co_await skip_operation<client_side>{side};
    if (more) side.spoil(wrong_number_of_responses());
  }
  status ended = side.verdict();
  if (!ended.ok()) co_return ended;
  if (!responded) co_return wrong_number_of_responses();
  co_return std::move(response);
}

/// Half-closes, reads what was not read, and waits for the end.
inline task<result<void>> finish_stream(client_side& side, bool half_close, unread rest) {
  if (half_close) co_await half_close_operation{side};
  bool cancelled = false;
  bool more = true;
  while (more) {
    if (rest == unread::cancel && !cancelled && !side.ended()) {
      cancelled = true;
      side.cancel();
    }
    more = co_await skip_operation<client_side>{side};
  }
  status ended = side.verdict();
  if (cancelled && ended.error_code() == status_code::CANCELLED) co_return status();
  co_return ended;
}

}  // namespace detail

/// Waits for the end of a streaming call.
/// *Completes* with what the server answered. *Throws*: `status_error` for a status other than OK; `as_result` gives
/// it instead. *Cancellation*: throws `operation_cancelled`; the call goes on.
template <class T>
class [[nodiscard]] finish_call {
 public:
  using value_type = T;

  finish_call(task<result<T>> work, detail::client_side& side) noexcept
      : work_{std::move(work)}, side_{&side} {}

  void rill_bind(task_context& context) noexcept { work_.rill_bind(context); }
  auto operator co_await() && noexcept { return awaiter{std::move(work_), *side_}; }
  /// For `as_result`.
  task<result<T>> take_work() && noexcept { return std::move(work_); }

 private:
  class awaiter {
   public:
    awaiter(task<result<T>>&& work, detail::client_side& side) noexcept
        : work_{std::move(work).operator co_await()}, side_{side} {}
    [[nodiscard]] bool await_ready() const noexcept { return work_.await_ready(); }
    template <class Promise>
    auto await_suspend(std::coroutine_handle<Promise> parent) {
      return work_.await_suspend(parent);
    }
    T await_resume() {
      result<T> ended = work_.await_resume();
      if (!ended.ok()) throw side_.error(ended.status());
      if constexpr (!std::is_void_v<T>) return *std::move(ended);
    }

   private:
    detail::task_awaiter<result<T>, detail::tail_transfer> work_;
    detail::client_side& side_;
  };

  task<result<T>> work_;
  detail::client_side* side_;
};

}  // namespace rill
