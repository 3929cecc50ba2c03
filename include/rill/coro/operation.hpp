// The protocol of a wait that can be cancelled and raced: one claim decides who completes it.
// Every awaitable of rill that waits for somebody else derives from `operation`.
#pragma once

#include "rill/coro/detail/config.hpp"
#include "rill/coro/task_context.hpp"

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <new>
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
    task = context.name;
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
  wait_group* group;
  std::uint32_t index;

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

/// A wait that `select` can race. `Derived` has, callable on the task's home and never throwing:
/// - `bool poll()`: complete now if that needs no waiting;
/// - `bool arm(waiter&)`: publish the waiter; true if it could complete at once, then it has claimed it first and
///   the waiter is not published. After false, whoever completes it claims the waiter, moves the result, wakes;
/// - `void disarm()`: withdraw the waiter, if it is published. Called after every suspension, and returns only when
///   nobody who completed it is still at work on what it waited for: so a task that was woken may destroy that;
/// - `result take()`: the result, after completion. This one may throw.
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

/// Awaits a `Wait`, which is one operation or several that race, numbered from 0 for the claim. The suspension lives
/// here and is made only when it is needed, so that an await that completes at once touches little.
template <class Wait>
class [[nodiscard]] wait_awaiter {
 public:
  template <class... Args>
  explicit wait_awaiter(Args&... args) noexcept : wait_{args...} {}
  wait_awaiter(const wait_awaiter&) = delete;
  wait_awaiter& operator=(const wait_awaiter&) = delete;
  ~wait_awaiter() {
    if (suspended_) static_cast<void>(leave());
  }

  [[nodiscard]] bool await_ready() {
    task_context& context = wait_.context();
    context.token.throw_if_cancelled();
    yielding_ = !context.home->spend_ready();
    if (yielding_) return false;
    winner_ = wait_.poll();
    return winner_ != wait_group::open;
  }
  [[nodiscard]] bool await_suspend(std::coroutine_handle<> continuation) noexcept {
    ::new (static_cast<void*>(&group_)) wait_group;
    suspended_ = true;
    group_.begin(wait_.context(), continuation);
    if (!wait_.arm(group_)) return true;
    if (!yielding_) return false;
    group_.wake();
    return true;
  }
  decltype(auto) await_resume() {
    if (suspended_) {
      winner_ = leave();
      if (winner_ == wait_group::cancelled) throw operation_cancelled{wait_.context().token.reason()};
    }
    return wait_.take(winner_);
  }

 private:
  std::uint32_t leave() noexcept {
    suspended_ = false;
    const std::uint32_t winner = group_.end();
    wait_.disarm();
    group_.~wait_group();
    return winner;
  }

  Wait wait_;
  std::uint32_t winner_;
  bool suspended_ = false;
  bool yielding_;
  union {
    wait_group group_;
  };
};

/// The wait for one operation; refers to the operand, which lives until the end of the full expression.
template <class Op>
class single_wait {
 public:
  explicit single_wait(Op& op) noexcept : op_{op} {}

  [[nodiscard]] task_context& context() const noexcept { return op_.context(); }
  [[nodiscard]] std::uint32_t poll() noexcept { return op_.poll() ? 0 : wait_group::open; }
  [[nodiscard]] bool arm(wait_group& group) noexcept {
    waiter_.group = &group;
    waiter_.index = 0;
    return op_.arm(waiter_);
  }
  void disarm() noexcept { op_.disarm(); }
  decltype(auto) take(std::uint32_t) { return op_.take(); }

 private:
  Op& op_;
  waiter waiter_;
};

template <claimable Op>
wait_awaiter<single_wait<Op>> make_awaiter(Op& op) noexcept {
  return wait_awaiter<single_wait<Op>>{op};
}

}  // namespace rill::detail
