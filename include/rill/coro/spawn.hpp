// spawn: starts a task that nobody awaits.
#pragma once

#include "rill/coro/detail/root.hpp"
#include "rill/coro/errors.hpp"
#include "rill/coro/task.hpp"

#include <cstdio>
#include <exception>
#include <type_traits>
#include <utility>

namespace rill {

namespace detail {

/// Says what left a spawned task, in the handler of it, and terminates.
[[noreturn]] inline void fail_loudly() noexcept {
  try {
    throw;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rill: an exception left a spawned task: %s\n", error.what());
  } catch (...) {
    std::fputs("rill: an exception left a spawned task\n", stderr);
  }
  std::terminate();
}

/// `make` is called on the home and kept until its task has ended.
template <class F>
root spawned(F make) {
  try {
    co_await make();
  } catch (const operation_cancelled&) {
  } catch (...) {
    fail_loudly();
  }
}

/// What gives a `task<>` when called.
template <class F>
concept task_factory = std::is_invocable_r_v<task<>, F&>;

/// Gives, once, the task that it was made of.
class ready_task {
 public:
  explicit ready_task(task<>&& work) noexcept : work_{std::move(work)} {}
  task<> operator()() noexcept { return std::move(work_); }

 private:
  task<> work_;
};

}  // namespace detail

/// Starts `work` on `home`, detached. Prefer `task_scope`, which cannot lose a task.
///
/// An `operation_cancelled` that leaves it is a normal end. Any other exception has nobody to go to: it is reported on
/// stderr and terminates the process. *Cancellation*: by `token`.
/// *Concurrency*: any thread. *Lifetime*: a home that is destroyed destroys the tasks that are suspended on it.
inline void spawn(scheduler& home, task<> work, cancellation_token token = {}) {
  task_context context;
  context.home = &home;
  context.token = token;
  detail::spawned(detail::ready_task{std::move(work)}).post(context);
}

/// The same for a callable that returns the task, such as a lambda with captures: it is called on `home`, and lives
/// until the task has ended.
template <class F>
  requires detail::task_factory<std::decay_t<F>>
void spawn(scheduler& home, F&& make, cancellation_token token = {}) {
  task_context context;
  context.home = &home;
  context.token = token;
  detail::spawned<std::decay_t<F>>(std::forward<F>(make)).post(context);
}

}  // namespace rill
