// unary_call: one request, one response. What client.call gives for a unary method; awaiting it makes the call.
#pragma once

#include "rill/client/detail/call_setup.hpp"
#include "rill/coro/cancellation.hpp"
#include "rill/coro/errors.hpp"
#include "rill/coro/task_context.hpp"
#include "rill/rpc/byte_stream.hpp"
#include "rill/rpc/codec.hpp"
#include "rill/rpc/status.hpp"
#include "rill/rpc/write_operation.hpp"

#include <coroutine>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace rill {

namespace detail {

/// Makes a call and waits for all of it: response, status and trailing metadata.
///
/// When the task is cancelled the call is, but the wait goes on until the call has ended. The cancellation only
/// posts; what it posts runs on the home, as everything else does. `ended_` before it has run: it resumes the task.
class unary_exchange : private stream_waiter, private cancellation_hook {
 public:
  unary_exchange& operator=(unary_exchange&&) = delete;

  void rill_bind(task_context& context) {
    if (call_ != nullptr) throw usage_error{"rill: a call is awaited once"};
    context_ = &context;
    proceed_.task = cancel_.task = context.name;
  }
  /// For the awaiters: makes the call.
  void start() {
    context_->token.throw_if_cancelled();
    call_ = &setup_.open(*context_);
    send(*call_);
    call_->writes_done();
  }
  /// For the awaiters: resumes `continuation` once the call has ended; false if it has.
  [[nodiscard]] bool wait(std::coroutine_handle<> continuation) noexcept {
    continuation_ = continuation;
    if (advance()) return false;
    cancellation_hook::attach(context_->token.source());
    return true;
  }

  /// What the server sent before its response, once the call has been awaited. *Lifetime*: this object's.
  [[nodiscard]] const metadata& initial_metadata() const { return made().initial_metadata(); }
  /// What the server sent with its status, once the call has been awaited. *Lifetime*: this object's.
  [[nodiscard]] const metadata& trailing_metadata() const { return made().trailing_metadata(); }
  /// The server's address, once the call has been awaited.
  [[nodiscard]] std::string peer() const { return made().peer(); }

 protected:
  explicit unary_exchange(call_setup&& setup) noexcept
      : stream_waiter{&on_fire}, cancellation_hook{&on_cancel}, setup_{std::move(setup)} {}
  /// Only before it is awaited.
  unary_exchange(unary_exchange&& other) noexcept : unary_exchange{std::move(other.setup_)} {}
  ~unary_exchange() {
    cancellation_hook::detach();
    if (call_ == nullptr) return;
    if (armed_) call_->disarm_read();
    call_->release();
  }

  virtual void send(client_call& call) = 0;
  [[nodiscard]] virtual bool receive(const message_view& response) = 0;

  /// How the call ended. *Throws*: `operation_cancelled` if the task was cancelled meanwhile.
  [[nodiscard]] status outcome() const {
    if (cancelled_) {
      const cancel_reason why = context_->token.reason();
      if (why != cancel_reason::deadline || context_->deadline > context_->home->now())
        throw operation_cancelled{why};
      return {status_code::DEADLINE_EXCEEDED, "the deadline passed"};
    }
    if (malformed_) return malformed_response();
    const status& ended = call_->final_status();
    return ended.ok() && responses_ != 1 ? wrong_number_of_responses() : ended;
  }
  [[nodiscard]] status_error error(status failed) const {
    return status_error{std::move(failed), call_->trailing_metadata()};
  }

 private:
  struct posted final : work_item {
    posted(function f, unary_exchange& of) noexcept : work_item{f}, owner{of} {}
    unary_exchange& owner;
  };

  [[nodiscard]] client_call& made() const {
    if (call_ == nullptr) throw usage_error{"rill: the call has not been awaited yet"};
    return *call_;
  }
  static void on_fire(stream_waiter& waiter) noexcept {
    auto& self = static_cast<unary_exchange&>(waiter);
    self.armed_ = false;
    self.context_->home->post(self.proceed_);
  }
  static void on_cancel(cancellation_hook& hook) noexcept {
    auto& self = static_cast<unary_exchange&>(hook);
    self.cancelling_ = true;
    self.context_->home->post(self.cancel_);
  }
  static void proceed(work_item& item, bool run) noexcept {
    auto& self = static_cast<posted&>(item).owner;
    if (!run || !self.advance()) return;
    self.detach();
    if (self.cancelling_ && !self.cancelled_) {
      self.ended_ = true;
    } else {
      self.continuation_.resume();
    }
  }
  static void cancel(work_item& item, bool run) noexcept {
    auto& self = static_cast<posted&>(item).owner;
    if (!run) return;
    self.cancelled_ = true;
    if (self.ended_) {
      self.continuation_.resume();
    } else {
      self.call_->cancel(self.context_->token.reason());
    }
  }
  /// Takes what is there; false, and the waiter armed, if the call has not ended.
  bool advance() {
    for (;;) {
      message_view response;
      switch (call_->front(response)) {
        case next_message::none:
          armed_ = call_->arm_read(*this);
          if (armed_) return false;
          break;
        case next_message::message:
          if (++responses_ == 1 && !receive(response)) malformed_ = true;
          call_->pop();
          break;
        default:
          return true;
      }
    }
  }

  call_setup setup_;
  client_call* call_ = nullptr;
  task_context* context_ = nullptr;
  std::coroutine_handle<> continuation_;
  posted proceed_{&proceed, *this};
  posted cancel_{&cancel, *this};
  unsigned responses_ = 0;
  bool armed_ = false;
  bool malformed_ = false;
  bool cancelling_ = false;  // the token tripped, and `cancel_` is posted
  bool cancelled_ = false;   // `cancel_` has run
  bool ended_ = false;
};

/// Awaits a call where it is, so that its metadata can be looked at afterwards.
template <class Call>
class [[nodiscard]] unary_awaiter {
 public:
  explicit unary_awaiter(Call& call) noexcept : call_{call} {}
  unary_awaiter(const unary_awaiter&) = delete;
  unary_awaiter& operator=(const unary_awaiter&) = delete;

  [[nodiscard]] bool await_ready() const {
    call_.start();
    return false;
  }
  [[nodiscard]] bool await_suspend(std::coroutine_handle<> continuation) const noexcept {
    return call_.wait(continuation);
  }
  [[nodiscard]] auto await_resume() const { return call_.take(); }

 protected:
  Call& call_;
};

}  // namespace detail

/// A unary call. Awaiting it makes the call and gives the response.
///
/// `Held` is how it keeps its request: a reference to the caller's, which lives until the call has been awaited, or
/// the request itself. The call inherits the deadline of the task that awaits it.
/// *Completes* when the call has ended. *Cancellation*: cancels the call, waits until it has ended, then throws
/// `operation_cancelled`. *Throws*: `status_error` for a status other than OK; `as_result` gives it instead.
template <class Response, class Held>
class [[nodiscard]] unary_call final : public detail::unary_exchange {
 public:
  template <class Request>
  unary_call(detail::call_setup&& setup, Request&& request)
      : unary_exchange{std::move(setup)}, request_{std::forward<Request>(request)} {}
  unary_call(unary_call&& other) noexcept
      : unary_exchange{std::move(other)}, request_{std::forward<Held>(other.request_)} {}

  auto operator co_await() noexcept { return detail::unary_awaiter<unary_call>{*this}; }

  /// The response, once the call has ended.
  [[nodiscard]] Response take() {
    if (status ended = outcome(); !ended.ok()) throw error(std::move(ended));
    return std::move(*response_);
  }
  /// As `take`, with the status in its place if that is not OK.
  [[nodiscard]] result<Response> take_result() {
    if (status ended = outcome(); !ended.ok()) return ended;
    return std::move(*response_);
  }

 private:
  void send(client_call& call) override { static_cast<void>(detail::put_message(call, request_, {})); }
  bool receive(const message_view& response) override {
    return codec<Response>::parse(response_.emplace(), response);
  }

  Held request_;
  std::optional<Response> response_;
};

}  // namespace rill
