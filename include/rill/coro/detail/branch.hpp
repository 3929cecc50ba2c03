// Branches: awaitables that run side by side for one awaiter, which owns them. when_all and when_any are made of them.
#pragma once

#include "rill/coro/detail/awaitable.hpp"
#include "rill/coro/detail/linked_source.hpp"
#include "rill/coro/task.hpp"

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace rill::detail {

/// Which branch ends the others: the first that fails, or the first that ends at all.
enum class fork_until : bool { failure, completion };

/// What the branches of one awaiter share.
class fork {
 public:
  static constexpr std::size_t none = SIZE_MAX;

  fork(const task_context& outer, fork_until until) noexcept
      : source_{outer.token}, context_{outer}, until_{until} {
    context_.token = source_.token();
  }
  fork(const fork&) = delete;
  fork& operator=(const fork&) = delete;

  [[nodiscard]] task_context& context() noexcept { return context_; }
  /// The branch that ended the others.
  [[nodiscard]] std::size_t decided_by() const noexcept { return decided_by_; }

  /// Branches may end before `started` is called; they resume `parent` only afterwards.
  void starting(std::size_t branches, std::coroutine_handle<> parent) noexcept {
    running_ = branches + 1;
    parent_ = parent;
  }
  /// Whether the parent has to wait.
  [[nodiscard]] bool started() noexcept { return --running_ != 0; }

  void failed(std::size_t index) noexcept { decide(index); }
  /// What to resume, or null.
  [[nodiscard]] std::coroutine_handle<> ended(std::size_t index) noexcept {
    if (until_ == fork_until::completion) decide(index);
    return --running_ == 0 ? parent_ : nullptr;
  }

 private:
  void decide(std::size_t index) noexcept {
    if (decided_by_ != none) return;
    decided_by_ = index;
    source_.cancel();
  }

  linked_source source_;
  task_context context_;
  std::coroutine_handle<> parent_;
  std::size_t running_ = 0;
  std::size_t decided_by_ = none;
  fork_until until_;
};

class branch_promise_base : public promise_base {
 public:
  template <bool TailTransfer>
  struct final_awaiter {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_resume() const noexcept {}
    template <class Promise>
    auto await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
      branch_promise_base& promise = ended.promise();
      const std::coroutine_handle<> next = promise.fork_->ended(promise.index_);
      if constexpr (TailTransfer) {
        return next ? next : std::coroutine_handle<>{std::noop_coroutine()};
      } else {
        if (next) next.resume();
      }
    }
  };

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] final_awaiter<tail_transfer> final_suspend() const noexcept { return {}; }

  void begin(fork& shared, std::size_t index) noexcept {
    rill_bind(shared.context());
    fork_ = &shared;
    index_ = index;
  }

 protected:
  fork* fork_ = nullptr;
  std::size_t index_ = 0;
};

/// One branch; keeps its result.
template <class T>
class [[nodiscard]] branch {
 public:
  class promise_type final : public branch_promise_base, public task_result<T> {
   public:
    branch get_return_object() noexcept {
      return branch{std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    void unhandled_exception() noexcept {
      task_result<T>::unhandled_exception();
      fork_->failed(index_);
    }
  };

  branch(branch&& other) noexcept : coroutine_{std::exchange(other.coroutine_, nullptr)} {}
  branch& operator=(branch&&) = delete;
  ~branch() {
    if (coroutine_) coroutine_.destroy();
  }

  /// Runs it until it first suspends or ends.
  void start(fork& shared, std::size_t index) noexcept {
    coroutine_.promise().begin(shared, index);
    coroutine_.resume();
  }
  /// After its end: its value, or throws its exception.
  T get() { return coroutine_.promise().get(); }

 private:
  explicit branch(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_{coroutine} {}
  std::coroutine_handle<promise_type> coroutine_;
};

/// `awaited` outlives the branch.
template <class A>
branch<await_result_t<A>> make_branch(A& awaited) {
  if constexpr (std::is_void_v<await_result_t<A>>) {
    co_await static_cast<A&&>(awaited);
  } else {
    co_return co_await static_cast<A&&>(awaited);
  }
}

/// What stands for `T` where a value is needed.
template <class T>
using non_void_t = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T>
non_void_t<T> get_non_void(branch<T>& ended) {
  if constexpr (std::is_void_v<T>) {
    ended.get();
    return {};
  } else {
    return ended.get();
  }
}

/// Branches of types of their own, one for each of a tuple of awaitables.
template <class... As>
class branch_tuple {
 public:
  using awaitables = std::tuple<As...>;

  explicit branch_tuple(awaitables&& awaited)
      : awaited_{std::move(awaited)},
        branches_{std::apply(
            [](auto&... each) { return std::tuple<branch<await_result_t<As>>...>{make_branch<As>(each)...}; },
            awaited_)} {}

  [[nodiscard]] static constexpr std::size_t size() noexcept { return sizeof...(As); }
  void start(fork& shared) noexcept {
    std::size_t index = 0;
    std::apply([&](auto&... each) { (each.start(shared, index++), ...); }, branches_);
  }
  [[nodiscard]] auto& all() noexcept { return branches_; }

 private:
  awaitables awaited_;
  std::tuple<branch<await_result_t<As>>...> branches_;
};

/// Branches of one type, one for each of a vector of awaitables.
template <class A>
class branch_vector {
 public:
  using awaitables = std::vector<A>;

  explicit branch_vector(awaitables&& awaited) : awaited_{std::move(awaited)} {
    branches_.reserve(awaited_.size());
    for (A& each : awaited_) branches_.push_back(make_branch<A>(each));
  }

  [[nodiscard]] std::size_t size() const noexcept { return branches_.size(); }
  void start(fork& shared) noexcept {
    for (std::size_t index = 0; index < branches_.size(); ++index) branches_[index].start(shared, index);
  }
  [[nodiscard]] auto& all() noexcept { return branches_; }

 private:
  awaitables awaited_;
  std::vector<branch<await_result_t<A>>> branches_;
};

/// Runs branches until all have ended. `Result` makes the await's result of them.
template <class Branches, class Result>
class fork_awaiter {
 public:
  fork_awaiter(task_context& outer, typename Branches::awaitables&& awaited)
      : fork_{outer, Result::until}, branches_{std::move(awaited)} {}
  fork_awaiter(const fork_awaiter&) = delete;
  fork_awaiter& operator=(const fork_awaiter&) = delete;

  [[nodiscard]] bool await_ready() const noexcept { return branches_.size() == 0; }
  template <class Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> parent) noexcept {
    require_context<Promise>();
    fork_.starting(branches_.size(), parent);
    branches_.start(fork_);
    return fork_.started();
  }
  auto await_resume() { return Result::of(branches_.all(), fork_.decided_by()); }

 private:
  fork fork_;
  Branches branches_;
};

/// What when_all and when_any return.
template <class Branches, class Result>
class [[nodiscard]] fork_awaitable {
  using awaitables = typename Branches::awaitables;

 public:
  explicit fork_awaitable(awaitables&& awaited) : awaited_{std::move(awaited)} {}

  void rill_bind(task_context& context) noexcept { outer_ = &context; }
  auto operator co_await() && { return fork_awaiter<Branches, Result>{*outer_, std::move(awaited_)}; }

 private:
  task_context* outer_ = nullptr;
  awaitables awaited_;
};

}  // namespace rill::detail
