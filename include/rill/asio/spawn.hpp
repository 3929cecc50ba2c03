// spawn: starts a rill task on an Asio executor. on: has a handler run there.
#pragma once

#include "rill/asio/detail/executor_home.hpp"
#include "rill/asio/detail/names.hpp"
#include "rill/coro/cancellation.hpp"
#include "rill/coro/errors.hpp"
#include "rill/coro/home_lease.hpp"
#include "rill/coro/spawn.hpp"
#include "rill/coro/task.hpp"

#include <concepts>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace rill {

namespace detail {

/// Gives an exception that leaves a task to nobody: it is reported, and terminates.
struct to_nobody {
  [[noreturn]] void operator()(const std::exception_ptr& error) const noexcept {
    try {
      std::rethrow_exception(error);
    } catch (...) {
      fail_loudly();
    }
  }
};

/// `make` and `on_error` are called on the home and kept until the task has ended.
template <class F, class OnError>
root spawned_at([[maybe_unused]] home_lease home, F make, OnError on_error) {
  std::exception_ptr failed;
  try {
    co_await make();
  } catch (const operation_cancelled&) {
  } catch (...) {
    failed = std::current_exception();
  }
  if (failed) on_error(std::move(failed));
}

template <class F, class OnError>
void spawn_at(home_lease home, F make, OnError on_error, cancellation_token token) {
  task_context context;
  context.home = &home.get();
  context.token = token;
  spawned_at(std::move(home), std::move(make), std::move(on_error)).post(context);
}

template <class F>
concept error_handler = std::invocable<F&, std::exception_ptr>;

/// A handler with the executor that it runs on.
template <class F>
class handler_at {
 public:
  handler_at(std::shared_ptr<home_source> homes, F handler)
      : homes_{std::move(homes)}, handler_{std::move(handler)} {}

  home_lease rill_home() { return homes_->lease(); }
  F& rill_handler() noexcept { return handler_; }

 private:
  std::shared_ptr<home_source> homes_;
  F handler_;
};

}  // namespace detail

/// Starts `work`, detached, on `executor`: after every await of anything it resumes there. An executor that is not known
/// to be a strand is wrapped in one, so that the task and its children run one at a time.
///
/// While the task lives it counts as work of the executor's context, so that `run()` goes on; destroying the context
/// frees it. An `operation_cancelled` that leaves it is a normal end; any other exception is reported on stderr and
/// terminates the process. *Cancellation*: by `token`. *Concurrency*: any thread.
template <detail::asio_executor Executor>
void spawn(const Executor& executor, task<> work, cancellation_token token = {}) {
  detail::spawn_at(detail::executor_home::lease(detail::serial_executor(executor)),
                   detail::ready_task{std::move(work)}, detail::to_nobody{}, token);
}
/// The same for a callable that returns the task: it is called on `executor`, and lives until the task has ended.
template <detail::asio_executor Executor, class F>
  requires detail::task_factory<std::decay_t<F>>
void spawn(const Executor& executor, F&& make, cancellation_token token = {}) {
  detail::spawn_at(detail::executor_home::lease(detail::serial_executor(executor)),
                   std::decay_t<F>(std::forward<F>(make)), detail::to_nobody{}, token);
}
/// The same; an exception that leaves the task is given to `on_error`, on `executor`, as a `std::exception_ptr`.
template <detail::asio_executor Executor, detail::error_handler OnError>
void spawn(const Executor& executor, task<> work, OnError on_error, cancellation_token token = {}) {
  detail::spawn_at(detail::executor_home::lease(detail::serial_executor(executor)),
                   detail::ready_task{std::move(work)}, std::move(on_error), token);
}
template <detail::asio_executor Executor, class F, detail::error_handler OnError>
  requires detail::task_factory<std::decay_t<F>>
void spawn(const Executor& executor, F&& make, OnError on_error, cancellation_token token = {}) {
  detail::spawn_at(detail::executor_home::lease(detail::serial_executor(executor)),
                   std::decay_t<F>(std::forward<F>(make)), std::move(on_error), token);
}
/// The same on a context's executor.
template <detail::asio_context Context, class... Arguments>
void spawn(Context& context, Arguments&&... arguments) {
  spawn(context.get_executor(), std::forward<Arguments>(arguments)...);
}

/// Has a server's handler run on `executor`: `server.handle<M>(rill::on(executor, handler))`.
///
/// Each call has a strand of its own, unless `executor` is a strand; then its calls share it. A call whose handler cannot
/// start because the executor's context has been destroyed ends with UNAVAILABLE, and so does one whose handler was
/// freed with the context.
template <detail::asio_executor Executor, class F>
detail::handler_at<std::decay_t<F>> on(const Executor& executor, F&& handler) {
  const ::asio::any_io_executor any{executor};
  return {detail::home_service::of(any).source(any), std::forward<F>(handler)};
}
template <detail::asio_context Context, class F>
auto on(Context& context, F&& handler) {
  return on(context.get_executor(), std::forward<F>(handler));
}

}  // namespace rill
