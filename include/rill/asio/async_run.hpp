// async_run: a rill task as an Asio asynchronous operation, under any completion token.
#pragma once

#include "rill/asio/detail/executor_home.hpp"
#include "rill/asio/detail/names.hpp"
#include "rill/coro/cancellation.hpp"
#include "rill/coro/detail/root.hpp"
#include "rill/coro/errors.hpp"
#include "rill/coro/home_lease.hpp"
#include "rill/coro/task.hpp"

#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/error.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>

#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

namespace rill {

namespace detail {

template <class T>
struct run_signature {
  static_assert(
      std::default_initializable<T>,
      "rill: async_run completes with (std::exception_ptr, T), so that T needs a default constructor");
  using type = void(std::exception_ptr, T);
};
template <>
struct run_signature<void> {
  using type = void(std::exception_ptr);
};

/// What a failed task completes with: Asio's own error codes where the task was cancelled.
inline std::exception_ptr run_failure(const operation_cancelled& cancelled) {
  const bool late = cancelled.reason() == cancel_reason::deadline;
  return std::make_exception_ptr(
      std::system_error{late ? ::asio::error::timed_out : ::asio::error::operation_aborted});
}

/// Calls the handler, with its allocator.
template <class Handler, class... Result>
class run_completion {
 public:
  using allocator_type = ::asio::associated_allocator_t<Handler>;

  run_completion(Handler&& handler, std::exception_ptr failed, Result&&... result)
      : handler_{std::move(handler)},
        slot_{::asio::get_associated_cancellation_slot(handler_)},
        result_{std::move(failed), std::move(result)...} {}

  [[nodiscard]] allocator_type get_allocator() const noexcept {
    return ::asio::get_associated_allocator(handler_);
  }
  void operator()() {
    // The operation is over: on the executor where its cancellation is emitted, nobody emits at this moment.
    if (slot_.is_connected()) slot_.clear();
    std::apply(std::move(handler_), std::move(result_));
  }

 private:
  Handler handler_;
  ::asio::associated_cancellation_slot_t<Handler> slot_;
  std::tuple<std::exception_ptr, Result...> result_;
};

/// What the operation's cancellation slot holds.
class run_canceller {
 public:
  explicit run_canceller(std::shared_ptr<cancellation_source> source) noexcept : source_{std::move(source)} {}
  void operator()(::asio::cancellation_type_t type) const noexcept {
    if (type != ::asio::cancellation_type::none) source_->cancel();
  }

 private:
  std::shared_ptr<cancellation_source> source_;
};

/// `source`, which the token of the task's context looks at, and `home` are kept until the task has ended.
template <class T, class Handler, class Work>
root run_for_handler([[maybe_unused]] home_lease home,
                     [[maybe_unused]] std::shared_ptr<cancellation_source> source, task<T> work,
                     Handler handler, Work handler_work) {
  std::exception_ptr failed;
  if constexpr (std::is_void_v<T>) {
    try {
      co_await std::move(work);
    } catch (const operation_cancelled& cancelled) {
      failed = run_failure(cancelled);
    } catch (...) {
      failed = std::current_exception();
    }
    ::asio::post(handler_work.get_executor(), run_completion<Handler>{std::move(handler), std::move(failed)});
  } else {
    std::optional<T> result;
    try {
      result.emplace(co_await std::move(work));
    } catch (const operation_cancelled& cancelled) {
      failed = run_failure(cancelled);
    } catch (...) {
      failed = std::current_exception();
    }
    if (!result) result.emplace();
    ::asio::post(handler_work.get_executor(),
                 run_completion<Handler, T>{std::move(handler), std::move(failed), std::move(*result)});
  }
}

template <class T, class Executor>
class initiate_run {
 public:
  using executor_type = Executor;

  explicit initiate_run(const Executor& executor) noexcept : executor_{executor} {}
  [[nodiscard]] executor_type get_executor() const noexcept { return executor_; }

  template <class Handler>
  void operator()(Handler&& given, task<T> work) const {
    using handler_type = std::decay_t<Handler>;
    handler_type handler{std::forward<Handler>(given)};
    auto source = std::allocate_shared<cancellation_source>(::asio::get_associated_allocator(handler));
    auto slot = ::asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) slot.template emplace<run_canceller>(source);
    auto handler_work = ::asio::make_work_guard(handler, executor_);
    home_lease home = executor_home::lease(serial_executor(executor_));
    task_context context;
    context.home = &home.get();
    context.token = source->token();
    run_for_handler<T, handler_type, decltype(handler_work)>(
        std::move(home), std::move(source), std::move(work), std::move(handler), std::move(handler_work))
        .post(context);
  }

 private:
  Executor executor_;
};

}  // namespace detail

/// Runs `work` on `executor`, as `spawn` does, and completes as `token` says: a callback, `asio::use_awaitable`,
/// `asio::use_future`, `asio::deferred`, `asio::detached` or any other.
///
/// *Completes* with `std::exception_ptr`, and for a task of a `T` with a `T`, on the handler's associated executor and
/// never before this function returns. A cancelled task gives `std::system_error` with
/// `asio::error::operation_aborted`, or with `timed_out` if a deadline did it.
/// *Cancellation*: an emission on the handler's cancellation slot trips the task's token.
/// *Lifetime*: if the executor's context is destroyed first, the handler is destroyed uncalled, as Asio's are.
template <detail::asio_executor Executor, class T, class Token>
auto async_run(const Executor& executor, task<T> work, Token&& token) {
  return ::asio::async_initiate<Token, typename detail::run_signature<T>::type>(
      detail::initiate_run<T, Executor>{executor}, token, std::move(work));
}
template <detail::asio_context Context, class T, class Token>
auto async_run(Context& context, task<T> work, Token&& token) {
  return async_run(context.get_executor(), std::move(work), std::forward<Token>(token));
}

}  // namespace rill
