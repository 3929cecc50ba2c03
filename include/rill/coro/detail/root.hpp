// A root: a coroutine that nobody awaits. It starts on its home, owns its context, and frees itself at its end.
#pragma once

#include "rill/coro/detail/promise_base.hpp"

#include <coroutine>
#include <exception>
#include <utility>

namespace rill::detail {

class root_promise;

/// Returned by a coroutine that is to be a root. It must be started exactly once.
/// An exception that leaves it terminates the process: its body decides what becomes of errors.
class [[nodiscard]] root {
 public:
  using promise_type = root_promise;

  /// Runs it until it first suspends. *Concurrency*: on `context.home` only.
  void start(const task_context& context) noexcept;
  /// Posts its start to `context.home`. *Concurrency*: any thread.
  void post(const task_context& context) noexcept;

 private:
  friend class root_promise;
  explicit root(root_promise& promise) noexcept : promise_{&promise} {}
  root_promise* promise_;
};

class root_promise final : public promise_base, public list_link<>, private work_item {
 public:
  root_promise() noexcept : work_item{&run} {}

  root get_return_object() noexcept { return root{*this}; }
  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] std::suspend_never final_suspend() const noexcept { return {}; }
  void return_void() const noexcept {}
  void unhandled_exception() noexcept { std::terminate(); }

  void begin(const task_context& context) noexcept {
    own_ = context;
    task = context.name;
    context_ = &own_;
  }
  void start() noexcept {
    own_.home->roots_.push_back(*this);
    handle().resume();
  }
  void post() noexcept { own_.home->post(*this); }
  void destroy() noexcept { handle().destroy(); }

  ~root_promise() { unlink(); }

 private:
  std::coroutine_handle<root_promise> handle() noexcept {
    return std::coroutine_handle<root_promise>::from_promise(*this);
  }
  static void run(work_item& item, bool run) noexcept {
    auto& self = static_cast<root_promise&>(item);
    run ? self.start() : self.destroy();
  }

  task_context own_;
};

inline void root::start(const task_context& context) noexcept {
  promise_->begin(context);
  promise_->start();
}

inline void root::post(const task_context& context) noexcept {
  promise_->begin(context);
  promise_->post();
}

}  // namespace rill::detail

inline void rill::scheduler::destroy_roots() noexcept {
  while (detail::root_promise* root = roots_.pop_front()) root->destroy();
}
