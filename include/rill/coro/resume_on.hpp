// resume_on: runs a task on another home, and comes back with its result.
#pragma once

#include "rill/coro/detail/awaitable.hpp"
#include "rill/coro/detail/linked_source.hpp"
#include "rill/coro/detail/root.hpp"
#include "rill/coro/detail/spin_lock.hpp"
#include "rill/coro/errors.hpp"
#include "rill/coro/task.hpp"
#include "rill/coro/this_context.hpp"

#include <atomic>
#include <coroutine>
#include <type_traits>
#include <utility>

namespace rill {

namespace detail {

/// What the two homes share while a task of one runs on the other; freed by whichever leaves last, since either home
/// may be destroyed before the other.
template <class T>
class crossing final : private work_item {
 public:
  explicit crossing(scheduler& home) noexcept : work_item{&resume}, home_{home} {}

  /// Before the work is sent: who waits for it.
  void await_by(std::coroutine_handle<> awaiter, const char* name) noexcept {
    awaiter_ = awaiter;
    task = name;
  }
  /// On the other home, as the last thing there: lets the awaiter go on, if it is still there.
  void come_back() noexcept {
    {
      guard held{lock_};
      if (awaiter_) home_.post(*this);
    }
    release();
  }
  /// On the awaiter's home: it has resumed, or will never be.
  void leave() noexcept {
    {
      guard held{lock_};
      awaiter_ = nullptr;
    }
    release();
  }

  cancellation_source source;
  task_result<T> result;
  bool ended = false;

 private:
  static void resume(work_item& item, bool run) noexcept {
    if (run) static_cast<crossing&>(item).awaiter_.resume();
  }
  void release() noexcept {
    if (users_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  scheduler& home_;
  std::atomic<int> users_{2};
  spin_lock lock_;
  std::coroutine_handle<> awaiter_;
};

/// What travels to the other home. Destroyed there, whether it has run or not: first the work, then it comes back.
template <class A, class T>
class traveller {
  struct return_ticket {
    explicit return_ticket(crossing<T>& on) noexcept : shared{&on} {}
    return_ticket(return_ticket&& other) noexcept : shared{std::exchange(other.shared, nullptr)} {}
    return_ticket& operator=(return_ticket&&) = delete;
    ~return_ticket() {
      if (shared != nullptr) shared->come_back();
    }
    crossing<T>* shared;
  };

 public:
  traveller(crossing<T>& shared, A&& work) : ticket_{shared}, work_{std::forward<A>(work)} {}
  traveller(traveller&& other) : ticket_{std::move(other.ticket_)}, work_{std::forward<A>(other.work_)} {}
  traveller& operator=(traveller&&) = delete;
  ~traveller() = default;

  [[nodiscard]] crossing<T>& shared() const noexcept { return *ticket_.shared; }
  [[nodiscard]] A&& work() noexcept { return std::forward<A>(work_); }

 private:
  return_ticket ticket_;
  A work_;
};

template <class A, class T>
root travel(traveller<A, T> away) {
  task_result<T>& result = away.shared().result;
  try {
    if constexpr (std::is_void_v<T>) {
      co_await away.work();
      result.return_void();
    } else {
      result.return_value(co_await away.work());
    }
  } catch (...) {
    result.unhandled_exception();
  }
  away.shared().ended = true;
}

/// Sends the work away, and waits for it.
template <class A, class T>
class crossing_awaiter {
 public:
  crossing_awaiter(scheduler& to, task_context& outer, A&& work)
      : share_{*new crossing<T>{*outer.home}},
        link_{outer.token, share_.of.source},
        away_{travel(traveller<A, T>{share_.of, std::forward<A>(work)})},
        context_{outer} {
    context_.home = &to;
    context_.token = share_.of.source.token();
  }
  crossing_awaiter(const crossing_awaiter&) = delete;
  crossing_awaiter& operator=(const crossing_awaiter&) = delete;
  ~crossing_awaiter() {
    if (!back_) share_.of.source.cancel(cancel_reason::shutdown);
  }

  void rill_bind(task_context&) const noexcept {}
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiter) noexcept {
    share_.of.await_by(awaiter, context_.name);
    away_.post(context_);
  }
  T await_resume() {
    back_ = true;
    if (!share_.of.ended) throw operation_cancelled{cancel_reason::shutdown};
    return share_.of.result.get();
  }

 private:
  struct share {
    explicit share(crossing<T>& shared) noexcept : of{shared} {}
    share(const share&) = delete;
    share& operator=(const share&) = delete;
    ~share() { of.leave(); }
    crossing<T>& of;
  };

  share share_;
  cancellation_link link_;
  root away_;
  task_context context_;
  bool back_ = false;
};

}  // namespace detail

/// Runs `work` on `home`, and comes back to the awaiter's home with its result. Cancellation, deadline and values flow
/// along. If `home` is the awaiter's, `work` is simply awaited.
///
/// *Completes* when `work` has ended, with its value or exception. *Throws*: `operation_cancelled` with the reason
/// `shutdown` if `home` is destroyed before that.
/// *Lifetime*: `home` lives until `work` has ended or until it is destroyed with `work` on it; destroying the awaiter's
/// home meanwhile cancels `work`, which then must not touch what the awaiter owned.
template <class A>
  requires(detail::awaitable<A> && !std::is_lvalue_reference_v<A>)
task<detail::await_result_t<A>> resume_on(scheduler& home, A work) {
  using result = detail::await_result_t<A>;
  task_context& outer = co_await this_context();
  if (outer.home == &home) {
    if constexpr (std::is_void_v<result>) {
      co_await std::move(work);
      co_return;
    } else {
      co_return co_await std::move(work);
    }
  }
  detail::crossing_awaiter<A, result> away{home, outer, std::move(work)};
  if constexpr (std::is_void_v<result>) {
    co_await away;
  } else {
    co_return co_await away;
  }
}

}  // namespace rill
