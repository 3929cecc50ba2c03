// The protocol of a wait that can be cancelled and raced: one claim decides who completes it.
// Every awaitable of rill that waits for somebody else derives from `operation`.
#pragma once

#include "rill/coro/detail/config.hpp"
#include "rill/coro/task_context.hpp"

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <utility>

namespace rill::detail {

/// One suspended await: a claim that is won once, and the resumption that its winner posts to the home.
///
/// States of `winner_`: `open` nobody has completed it; `cancelled` the token did; any other value is the index of
/// the waiter that did.
class wait_group : private work_item, private cancellation_hook {
 public:
  static constexpr std::uint32_t open = UINT32_MAX;
  static constexpr std::uint32_t cancelled = UINT32_MAX - 1;

  wait_group() noexcept : work_item{&resume}, cancellation_hook{&on_cancel} {}

  /// Before any waiter is published. From here on the claim may be won, and the resumption posted, at any time;
  /// it runs only after the task has suspended.
  void begin(const task_context& context, std::coroutine_handle<> continuation) noexcept {
    home_ = context.home;
    continuation_ = continuation;
    cancellation_hook::attach(context.token.source());
  }
  /// The winner, and only it, then moves what it has to move and calls `wake` (or goes on without suspending).
  [[nodiscard]] bool claim(std::uint32_t index) noexcept {
    std::uint32_t expected = open;
    return winner_.compare_exchange_strong(expected, index, std::memory_order_acq_rel,
                                           std::memory_order_relaxed);
  }
  void wake() noexcept { home_->post(*this); }

  /// On the home, after resumption: no cancellation callback runs any more.
  [[nodiscard]] std::uint32_t end() noexcept {
    cancellation_hook::detach();
    return winner_.load(std::memory_order_acquire);
  }

 private:
  static void resume(work_item& item, bool run) noexcept {
    if (run) static_cast<wait_group&>(item).continuation_.resume();
  }
  static void on_cancel(cancellation_hook& hook) noexcept {
    auto& self = static_cast<wait_group&>(hook);
    if (self.claim(cancelled)) self.wake();
  }

  std::atomic<std::uint32_t> winner_{open};
  scheduler* home_ = nullptr;
  std::coroutine_handle<> continuation_;
};

/// A wait's place in the list of whatever it waits for.
struct waiter {
  wait_group* group = nullptr;
  std::uint32_t index = 0;

  [[nodiscard]] bool claim() const noexcept { return group->claim(index); }
  void wake() const noexcept { group->wake(); }
};

/// An armed operation's place in the list of whatever it waits for.
template <class Operation>
struct waiting : list_link<> {
  waiting& of(Operation& op, detail::waiter& claim) noexcept {
    operation = &op;
    waiter = &claim;
    return *this;
  }
  Operation* operation = nullptr;
  detail::waiter* waiter = nullptr;
};
template <class Operation>
using waiting_list = intrusive_list<waiting<Operation>>;

/// A wait that `select` can race. `Derived` has, callable on the task's home:
/// - `bool poll()`: complete now if that needs no waiting;
/// - `bool arm(waiter&)`: publish the waiter; true if it could complete at once, then it has claimed it first and
///   the waiter is not published. After false, whoever completes it claims the waiter, moves the result, wakes;
/// - `void disarm()`: withdraw the waiter; afterwards nobody refers to it. No effect if it is not published;
/// - `result take()`: the result, after completion. May throw.
///
/// *Cancellation*: throws `operation_cancelled`, with nothing taken. *Lifetime*: awaited where it was made, once.
template <class Derived>
class operation {
 public:
  operation() noexcept = default;
  operation(operation&& other) noexcept : context_{other.context_} {}
  operation& operator=(operation&&) = delete;
  ~operation() = default;

  void rill_bind(task_context& context) noexcept { context_ = &context; }
  [[nodiscard]] task_context& context() const noexcept { return *context_; }

 private:
  task_context* context_ = nullptr;
};

/// Whether `T` is an operation that `select` can take.
template <class T>
concept claimable = std::derived_from<T, operation<T>> && requires(T& op, waiter& w) {
  { op.poll() } -> std::same_as<bool>;
  { op.arm(w) } -> std::same_as<bool>;
  op.disarm();
  op.take();
};

/// Awaits one operation; refers to the operand, which lives until the end of the full expression.
template <class Op>
class [[nodiscard]] operation_awaiter {
 public:
  explicit operation_awaiter(Op& op) noexcept : op_{op} {}
  operation_awaiter(const operation_awaiter&) = delete;
  operation_awaiter& operator=(const operation_awaiter&) = delete;
  ~operation_awaiter() {
    if (!armed_) return;  // resumed, or never suspended
    static_cast<void>(group_.end());
    op_.disarm();
  }

  [[nodiscard]] bool await_ready() {
    task_context& context = op_.context();
    context.token.throw_if_cancelled();
    yielding_ = !context.home->spend_ready();
    return !yielding_ && op_.poll();
  }
  [[nodiscard]] bool await_suspend(std::coroutine_handle<> continuation) {
    group_.begin(op_.context(), continuation);
    waiter_.group = &group_;
    armed_ = true;
    if (!op_.arm(waiter_)) return true;
    if (!yielding_) return false;
    group_.wake();
    return true;
  }
  decltype(auto) await_resume() {
    if (armed_) {
      armed_ = false;
      const std::uint32_t winner = group_.end();
      if (winner == wait_group::cancelled) {
        op_.disarm();
        throw operation_cancelled{op_.context().token.reason()};
      }
    }
    return op_.take();
  }

 private:
  Op& op_;
  wait_group group_;
  waiter waiter_;
  bool armed_ = false;
  bool yielding_ = false;
};

template <claimable Op>
operation_awaiter<Op> make_awaiter(Op& op) noexcept {
  return operation_awaiter<Op>{op};
}

}  // namespace rill::detail
