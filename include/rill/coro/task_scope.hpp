// task_scope: structured concurrency. What is spawned in a scope has ended before the scope's run does.
#pragma once

#include "rill/coro/cancellation.hpp"
#include "rill/coro/detail/awaitable.hpp"
#include "rill/coro/detail/intrusive.hpp"
#include "rill/coro/detail/linked_source.hpp"
#include "rill/coro/detail/promise_base.hpp"
#include "rill/coro/errors.hpp"
#include "rill/coro/task.hpp"
#include "rill/coro/this_context.hpp"

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <type_traits>
#include <utility>

namespace rill {

class task_scope;

namespace detail {

class scope_child;

/// What a child is to its scope. `body`: what `run` was given. `joined`: from `spawn`. `background`: from
/// `spawn_background`.
enum class child_kind : std::uint8_t { body, joined, background };

/// Frees itself at its end; until then its scope owns it.
class scope_child_promise final : public promise_base, public list_link<>, private work_item {
 public:
  scope_child_promise() noexcept : work_item{&run} {}
  inline ~scope_child_promise();

  inline scope_child get_return_object() noexcept;
  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] std::suspend_never final_suspend() const noexcept { return {}; }
  void return_void() const noexcept {}
  inline void unhandled_exception() noexcept;

  void begin(task_scope& scope, child_kind kind, task_context& context) noexcept {
    rill_bind(context);
    task = context.name;
    scope_ = &scope;
    kind_ = kind;
  }
  /// Its scope is going away, so it leaves without a word.
  void destroy() noexcept {
    scope_ = nullptr;
    handle().destroy();
  }
  void start() noexcept { handle().resume(); }
  void post() noexcept { context_->home->post(*this); }

 private:
  std::coroutine_handle<scope_child_promise> handle() noexcept {
    return std::coroutine_handle<scope_child_promise>::from_promise(*this);
  }
  static void run(work_item& item, bool run) noexcept {
    if (run) static_cast<scope_child_promise&>(item).start();
  }

  task_scope* scope_ = nullptr;
  child_kind kind_ = child_kind::joined;
};

class [[nodiscard]] scope_child {
 public:
  using promise_type = scope_child_promise;
  explicit scope_child(scope_child_promise& child) noexcept : promise{child} {}
  scope_child_promise& promise;
};

inline scope_child scope_child_promise::get_return_object() noexcept { return scope_child{*this}; }

template <class F>
scope_child run_child(F make) {
  co_await make();
}
inline scope_child run_child(task<> work) { co_await std::move(work); }

template <class Body, class T>
scope_child run_body(Body& body, task_scope& scope, task_result<T>& result) {
  if constexpr (std::is_void_v<T>) {
    co_await body(scope);
  } else {
    result.return_value(co_await body(scope));
  }
}

template <class Body>
using body_value_t = typename std::invoke_result_t<Body&, task_scope&>::value_type;

template <class F>
concept child_factory = std::is_invocable_v<F&> && awaitable<std::invoke_result_t<F&>>;

}  // namespace detail

/// A group of tasks that ends together: made by `run`, which returns only when everything spawned in it has ended.
///
/// The first failure cancels everything else in the scope, and `run` throws it once all have ended. An
/// `operation_cancelled` that leaves a spawned task is no failure but its normal end, unless the awaiter of `run` is
/// cancelled: then `run` throws it.
/// *Concurrency*: `spawn` and `spawn_background` on the scope's home only, as everything in the scope runs there;
/// `cancel` and the token from any thread. *Lifetime*: as long as anything in it; the locals of the body end with
/// the body, so what spawned tasks refer to belongs outside of `run`.
class task_scope {
 public:
  task_scope(const task_scope&) = delete;
  task_scope& operator=(const task_scope&) = delete;

  /// Awaits the task that `body(scope)` gives, then everything that was spawned.
  /// *Completes* with the body's value. *Throws*: the first failure, the body's or a spawned task's.
  /// *Cancellation*: flows into everything. *Lifetime*: a temporary `body` is kept; one with a name is referred to.
  template <class Body>
  static auto run(Body&& body) -> task<detail::body_value_t<Body>> {
    static_assert(
        !detail::unsafe_callable<Body>,
        "rill: GCC 12 destroys this temporary twice, if it is a lambda that captures by value; give it a "
        "name, and pass that");
    return run_scope<Body>(std::forward<Body>(body));
  }

  /// Runs the task that `make()` gives. Both happen when the home gets to it, never inside this call.
  /// *Lifetime*: `make` is kept until its task has ended, so a lambda may have captures.
  template <class F>
    requires detail::child_factory<std::decay_t<F>>
  void spawn(F&& make) {
    add(child_of(std::forward<F>(make)), detail::child_kind::joined);
  }
  void spawn(task<> work) { add(detail::run_child(std::move(work)), detail::child_kind::joined); }

  /// As `spawn`, for what would not end by itself: it is cancelled once the body and all that `spawn` started have
  /// ended.
  template <class F>
    requires detail::child_factory<std::decay_t<F>>
  void spawn_background(F&& make) {
    add(child_of(std::forward<F>(make)), detail::child_kind::background);
  }
  void spawn_background(task<> work) {
    add(detail::run_child(std::move(work)), detail::child_kind::background);
  }

  /// Asks the body and everything spawned to end. `run` then returns as if they had ended by themselves; only a body
  /// that owes a value still throws its `operation_cancelled`.
  void cancel(cancel_reason why = cancel_reason::cancelled) noexcept { source_.cancel(why); }
  /// Trips when the scope is cancelled, for whatever reason.
  [[nodiscard]] cancellation_token token() noexcept { return source_.token(); }

 private:
  friend class detail::scope_child_promise;

  /// Waits until all children, or all but those in the background, have ended. Not for cancellation to cut short.
  class drained : private detail::work_item {
   public:
    drained(task_scope& scope, bool background) noexcept
        : work_item{&resume}, scope_{scope}, background_{background} {}
    drained(const drained&) = delete;
    drained& operator=(const drained&) = delete;

    void rill_bind(task_context&) const noexcept {}
    [[nodiscard]] bool await_ready() const noexcept {
      return scope_.running_ == 0 && (!background_ || scope_.in_background_ == 0);
    }
    void await_suspend(std::coroutine_handle<> continuation) noexcept {
      continuation_ = continuation;
      task = scope_.context_.name;
      scope_.waiting_ = this;
    }
    void await_resume() const noexcept {}
    void look() noexcept {
      if (!await_ready()) return;
      scope_.waiting_ = nullptr;
      scope_.context_.home->post(*this);
    }

   private:
    static void resume(work_item& item, bool run) noexcept {
      if (run) static_cast<drained&>(item).continuation_.resume();
    }
    task_scope& scope_;
    bool background_;
    std::coroutine_handle<> continuation_;
  };

  explicit task_scope(const task_context& outer) noexcept
      : source_{outer.token},
        background_source_{source_.token()},
        context_{outer},
        background_context_{outer} {
    context_.token = source_.token();
    background_context_.token = background_source_.token();
  }
  /// There are children left only when the home is being destroyed. The newest goes first: it may refer to what
  /// older ones own, the body most of all.
  ~task_scope() {
    while (detail::scope_child_promise* child = children_.pop_front()) child->destroy();
  }

  template <class Body>
  static auto run_scope(Body body) -> task<detail::body_value_t<Body>>;
  template <class F>
  static detail::scope_child child_of(F&& make) {
    static_assert(std::is_void_v<detail::await_result_t<std::invoke_result_t<std::decay_t<F>&>>>,
                  "rill: nobody would get the value that this spawned task gives; return task<>");
    return detail::run_child<std::decay_t<F>>(std::forward<F>(make));
  }
  void enter(detail::scope_child child, detail::child_kind kind) noexcept {
    const bool background = kind == detail::child_kind::background;
    ++(background ? in_background_ : running_);
    child.promise.begin(*this, kind, background ? background_context_ : context_);
    children_.push_front(child.promise);
  }
  void add(detail::scope_child child, detail::child_kind kind) noexcept {
    enter(child, kind);
    child.promise.post();
  }
  void left(detail::child_kind kind) noexcept {
    --(kind == detail::child_kind::background ? in_background_ : running_);
    if (waiting_ != nullptr) waiting_->look();
  }
  void failed(std::exception_ptr error) noexcept {
    if (!error_) error_ = std::move(error);
    source_.cancel();
  }
  [[nodiscard]] bool cancelled_from_outside() const noexcept { return source_.parent().is_cancelled(); }

  detail::linked_source source_;
  detail::linked_source background_source_;
  task_context context_;
  task_context background_context_;
  detail::intrusive_list<detail::scope_child_promise> children_;
  std::size_t running_ = 0;  // the body, and what `spawn` started
  std::size_t in_background_ = 0;
  drained* waiting_ = nullptr;
  std::exception_ptr error_;
  bool body_owes_value_ = false;
};

template <class Body>
auto task_scope::run_scope(Body body) -> task<detail::body_value_t<Body>> {
  using value = detail::body_value_t<Body>;
  task_context& outer = co_await this_context();
  detail::task_result<value> result;
  task_scope scope{outer};
  scope.body_owes_value_ = !std::is_void_v<value>;
  detail::scope_child main = detail::run_body(body, scope, result);
  scope.enter(main, detail::child_kind::body);
  main.promise.start();
  co_await drained{scope, false};
  scope.background_source_.cancel();
  co_await drained{scope, true};
  if (scope.error_) std::rethrow_exception(std::move(scope.error_));
  if constexpr (!std::is_void_v<value>) co_return result.get();
}

inline detail::scope_child_promise::~scope_child_promise() {
  unlink();
  if (scope_ != nullptr) scope_->left(kind_);
}

inline void detail::scope_child_promise::unhandled_exception() noexcept {
  try {
    throw;
  } catch (const operation_cancelled&) {
    const bool must_throw =
        kind_ == child_kind::body && (scope_->body_owes_value_ || !scope_->token().is_cancelled());
    if (must_throw || scope_->cancelled_from_outside()) scope_->failed(std::current_exception());
  } catch (...) {
    scope_->failed(std::current_exception());
  }
}

}  // namespace rill
