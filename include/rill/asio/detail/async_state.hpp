// What an Asio operation and the task that awaits it share: the result, and who of them is still there.
#pragma once

#include "rill/asio/detail/executor_home.hpp"
#include "rill/asio/detail/names.hpp"
#include "rill/coro/cancellation.hpp"
#include "rill/coro/detail/frame_pool.hpp"
#include "rill/coro/detail/spin_lock.hpp"
#include "rill/coro/scheduler.hpp"
#include "rill/coro/task_context.hpp"

#include <asio/associated_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <asio/system_executor.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <optional>
#include <tuple>
#include <utility>

namespace rill::detail {

/// The part that does not depend on the operation's signature.
///
/// The operation, its cancellation and its completion run on one serial executor: the home's own, or, for a home that
/// has none, a strand over the operation's executor.
class async_state : private work_item, private cancellation_hook {
 public:
  explicit async_state(const task_context& context) noexcept
      : work_item{&resume}, cancellation_hook{&on_cancel}, home_{context.home}, token_{context.token} {
    task = context.name;
    if (auto* own = dynamic_cast<executor_home*>(context.home)) executor_ = own->executor();
  }
  async_state(const async_state&) = delete;
  async_state& operator=(const async_state&) = delete;
  virtual ~async_state() = default;

  static void* operator new(std::size_t size) { return frame_pool::allocate(size); }
  static void operator delete(void* block, std::size_t size) noexcept { frame_pool::deallocate(block, size); }

  // The task's side, on its home.
  /// After the operation was initiated; false if it has completed already.
  [[nodiscard]] bool suspend(std::coroutine_handle<> continuation) noexcept {
    {
      guard held{lock_};
      if (finished_) return false;
      continuation_ = continuation;
      waiting_ = true;
    }
    attach(token_.source());
    return true;
  }
  /// The task goes on: nothing of the hook runs any more.
  void resumed() noexcept { detach(); }
  /// The task is gone, or goes on without the result.
  void abandon() noexcept {
    detach();
    bool pending = false;
    {
      guard held{lock_};
      waiting_ = false;
      pending = !finished_;
    }
    if (pending) request_cancel();
  }
  [[nodiscard]] cancellation_token token() const noexcept { return token_; }

  // The operation's side.
  [[nodiscard]] ::asio::cancellation_slot slot() noexcept { return signal_.slot(); }
  /// The serial executor; for a home that has none it is made over `inner` when the operation first asks.
  template <class Inner>
  [[nodiscard]] ::asio::any_io_executor executor_over(const Inner& inner) {
    guard held{lock_};
    if (!executor_) {
      if constexpr (std::is_constructible_v<::asio::any_io_executor, const Inner&>) {
        executor_ = serial_executor(::asio::any_io_executor{inner});
      } else {
        executor_ = ::asio::make_strand(::asio::system_executor{});
      }
    }
    return executor_;
  }
  /// The result is there, or never will be. On the serial executor, or while the context is destroyed.
  void finish() noexcept {
    guard held{lock_};
    finished_ = true;
    executor_ = {};
    // Under the lock, so that the home is still there; it never resumes anything inside `post`.
    if (waiting_) home_->post(*this);
  }

  void retain() noexcept { holds_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (holds_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 private:
  static void resume(work_item& item, bool run) noexcept {
    if (run) static_cast<async_state&>(item).continuation_.resume();
  }
  static void on_cancel(cancellation_hook& hook) noexcept {
    static_cast<async_state&>(hook).request_cancel();
  }

  /// Emits on the operation's own executor, so that it does not meet the completion.
  void request_cancel() noexcept {
    guard held{lock_};
    if (finished_ || !executor_) return;
    ::asio::post(executor_, emitter{*this});
  }
  class emitter {
   public:
    explicit emitter(async_state& state) noexcept : state_{&state} { state.retain(); }
    emitter(emitter&& other) noexcept : state_{std::exchange(other.state_, nullptr)} {}
    emitter& operator=(emitter&&) = delete;
    ~emitter() {
      if (state_ != nullptr) state_->release();
    }
    void operator()() const {
      state_->lock_.lock();
      const bool pending = !state_->finished_;
      state_->lock_.unlock();
      if (pending) state_->signal_.emit(::asio::cancellation_type::all);
    }

   private:
    async_state* state_;
  };

  std::atomic<int> holds_{2};  // the task, the operation, and each emitter
  scheduler* home_;
  cancellation_token token_;
  ::asio::cancellation_signal signal_;

  spin_lock lock_;
  bool waiting_ = false;  // the task is suspended for it
  bool finished_ = false;
  ::asio::any_io_executor executor_;
  std::coroutine_handle<> continuation_;
};

/// With room for what the operation completes with.
template <class... Args>
class async_result_state final : public async_state {
 public:
  using async_state::async_state;
  std::optional<std::tuple<Args...>> result;  // empty: the operation was destroyed with its context
};

/// The completion handler.
template <class... Args>
class async_handler {
 public:
  using executor_type = ::asio::any_io_executor;
  using cancellation_slot_type = ::asio::cancellation_slot;

  explicit async_handler(async_result_state<Args...>& state) noexcept : state_{&state} {}
  async_handler(async_handler&& other) noexcept : state_{std::exchange(other.state_, nullptr)} {}
  async_handler& operator=(async_handler&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~async_handler() {
    if (state_ != nullptr) end();
  }

  template <class... Results>
  void operator()(Results&&... results) {
    state_->result.emplace(std::forward<Results>(results)...);
    end();
  }

  [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept { return state_->slot(); }
  template <class Inner>
  [[nodiscard]] executor_type executor_over(const Inner& inner) const {
    return state_->executor_over(inner);
  }

 private:
  void end() noexcept {
    auto& state = *std::exchange(state_, nullptr);
    state.finish();
    state.release();
  }

  async_result_state<Args...>* state_;
};

}  // namespace rill::detail

namespace asio {

template <class Executor, class... Args>
struct associated_executor<rill::detail::async_handler<Args...>, Executor> {
  using type = any_io_executor;
  static type get(const rill::detail::async_handler<Args...>& handler,
                  const Executor& inner = Executor()) noexcept {
    return handler.executor_over(inner);
  }
};

}  // namespace asio
