// async_generator<T>: a coroutine that gives a sequence with co_yield and may await in between.
#pragma once

#include "rill/coro/detail/promise_base.hpp"
#include "rill/coro/errors.hpp"

#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace rill {

template <class T>
class async_generator;

namespace detail {

/// How a generator and its consumer meet. `starting`: the consumer is still in `await_suspend`, so an item only sets
/// `yielded`; `suspended`: an item resumes the consumer; `yielded`: the generator rests at an item, or at its end.
enum class generator_phase : std::uint8_t { starting, suspended, yielded };

class generator_promise_base : public promise_base {
 public:
  /// Gives control to the consumer, at an item or at the end.
  template <bool TailTransfer>
  class yield_awaiter {
   public:
    explicit yield_awaiter(generator_promise_base& promise) noexcept : promise_{promise} {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    auto await_suspend(std::coroutine_handle<>) const noexcept {
      const generator_phase before = std::exchange(promise_.phase_, generator_phase::yielded);
      if constexpr (TailTransfer) {
        if (before == generator_phase::suspended) return promise_.continuation_;
        return std::coroutine_handle<>{std::noop_coroutine()};
      } else {
        if (before == generator_phase::suspended) promise_.continuation_.resume();
      }
    }
    /// An item that the consumer does not want any more ends the generator from inside, so that its handlers run.
    void await_resume() const { promise_.context_->token.throw_if_cancelled(); }

   private:
    generator_promise_base& promise_;
  };
  template <bool TailTransfer>
  class final_awaiter : public yield_awaiter<TailTransfer> {
   public:
    using yield_awaiter<TailTransfer>::yield_awaiter;
    void await_resume() const noexcept {}
  };

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] final_awaiter<tail_transfer> final_suspend() noexcept {
    return final_awaiter<tail_transfer>{*this};
  }
  void return_void() const noexcept {}
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  std::coroutine_handle<> continuation_;
  std::exception_ptr error_;
  generator_phase phase_ = generator_phase::yielded;
};

template <class T>
class generator_promise final : public generator_promise_base {
 public:
  async_generator<T> get_return_object() noexcept;

  /// The item stays where it is, in the generator's frame, until the generator goes on.
  auto yield_value(T&& item) noexcept {
    static_assert(!unsafe_value<T>,
                  "rill: GCC 12 destroys this temporary twice; give the item a name, and yield that");
    item_ = std::addressof(item);
    movable_ = true;
    return yield_awaiter<tail_transfer>{*this};
  }
  auto yield_value(const T& item) noexcept
    requires std::is_copy_constructible_v<T>
  {
    item_ = std::addressof(item);
    movable_ = false;
    return yield_awaiter<tail_transfer>{*this};
  }

  [[nodiscard]] T take() {
    if constexpr (std::is_copy_constructible_v<T>) {
      if (!movable_) return *item_;
    }
    return std::move(*const_cast<T*>(item_));
  }

  const T* item_ = nullptr;
  bool movable_ = false;
};

/// Runs the generator to its next item. Every so often it lets the home do other work first, since a generator that
/// never waits would starve it.
template <class T, bool TailTransfer>
class generator_advance : private work_item {
 public:
  generator_advance(async_generator<T>& generator, task_context& context) noexcept
      : work_item{&advance_later}, generator_{generator}, context_{context} {
    task = context.name;
  }
  generator_advance(const generator_advance&) = delete;
  generator_advance& operator=(const generator_advance&) = delete;
  /// Abandoned while the generator waits for something: it must not be resumed any more.
  ~generator_advance() {
    if (advancing_) generator_.reset();
  }

  [[nodiscard]] bool await_ready() const noexcept { return generator_.coroutine_.done(); }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> consumer) {
    require_context<Promise>();
    auto generator = generator_.coroutine_;
    generator_promise<T>& promise = generator.promise();
    promise.rill_bind(context_);
    promise.continuation_ = consumer;
    promise.item_ = nullptr;
    advancing_ = true;
    if (!context_.home->spend_ready()) {
      promise.phase_ = generator_phase::suspended;
      context_.home->post(*this);
      if constexpr (TailTransfer) {
        return std::coroutine_handle<>{std::noop_coroutine()};
      } else {
        return true;
      }
    } else if constexpr (TailTransfer) {
      promise.phase_ = generator_phase::suspended;
      return std::coroutine_handle<>{generator};
    } else {
      promise.phase_ = generator_phase::starting;
      generator.resume();
      if (promise.phase_ == generator_phase::yielded) return false;
      promise.phase_ = generator_phase::suspended;
      return true;
    }
  }

 protected:
  /// The generator at its item, or null at its end.
  generator_promise<T>* finish() {
    advancing_ = false;
    generator_promise<T>& promise = generator_.coroutine_.promise();
    if (!generator_.coroutine_.done()) return &promise;
    if (promise.error_) std::rethrow_exception(std::exchange(promise.error_, nullptr));
    return nullptr;
  }

 private:
  static void advance_later(work_item& item, bool run) noexcept {
    if (run) static_cast<generator_advance&>(item).generator_.coroutine_.resume();
  }

  async_generator<T>& generator_;
  task_context& context_;
  bool advancing_ = false;
};

/// `next_ref`: where the item is.
template <class T, bool TailTransfer>
class generator_next_ref : public generator_advance<T, TailTransfer> {
 public:
  using generator_advance<T, TailTransfer>::generator_advance;
  [[nodiscard]] const T* await_resume() {
    generator_promise<T>* at = this->finish();
    return at != nullptr ? at->item_ : nullptr;
  }
};

/// `next`: the item itself.
template <class T, bool TailTransfer>
class generator_next : public generator_advance<T, TailTransfer> {
 public:
  using generator_advance<T, TailTransfer>::generator_advance;
  [[nodiscard]] std::optional<T> await_resume() {
    std::optional<T> item;
    if (generator_promise<T>* at = this->finish()) item.emplace(at->take());
    return item;
  }
};

/// What `next` and `next_ref` return: takes the consumer's context, then makes the awaiter.
template <class T, class Awaiter>
class [[nodiscard]] generator_awaitable {
 public:
  explicit generator_awaitable(async_generator<T>& generator) noexcept : generator_{generator} {}

  void rill_bind(task_context& context) {
    if (!generator_) throw usage_error{"rill: this generator was moved from"};
    context_ = &context;
  }
  auto operator co_await() && noexcept { return Awaiter{generator_, *context_}; }

 private:
  async_generator<T>& generator_;
  task_context* context_ = nullptr;
};

}  // namespace detail

/// A lazy sequence of `T`, made by a coroutine that returns it, with `co_yield` and `co_await` in its body.
///
/// It runs only while somebody awaits `next`, and each `next` lends it its awaiter's context: home, cancellation,
/// deadline and values. Destroying it early destroys its frame where it rests.
/// *Cancellation*: when its consumer is cancelled, what it awaits ends as in any task, and a `co_yield` that it
/// returns to throws `operation_cancelled`. *Concurrency*: one `next` at a time, all from one home.
template <class T>
class [[nodiscard]] async_generator {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>, "rill: a generator gives values, not references");

 public:
  using promise_type = detail::generator_promise<T>;
  using value_type = T;

  async_generator(async_generator&& other) noexcept : coroutine_{std::exchange(other.coroutine_, nullptr)} {}
  async_generator& operator=(async_generator&& other) noexcept {
    if (this != &other) {
      reset();
      coroutine_ = std::exchange(other.coroutine_, nullptr);
    }
    return *this;
  }
  ~async_generator() { reset(); }

  /// Whether there is a coroutine: false after a move.
  explicit operator bool() const noexcept { return coroutine_ != nullptr; }

  /// Runs it to its next `co_yield`.
  /// *Completes* with the item, which is moved if `co_yield` was given an rvalue and copied if not; empty at the end.
  /// *Throws*: what leaves the generator, once; afterwards it is at its end.
  auto next() noexcept {
    return detail::generator_awaitable<T, detail::generator_next<T, detail::tail_transfer>>{*this};
  }
  /// As `next`, without moving the item. *Completes* with its address, or null at the end.
  /// *Lifetime*: until the next `next` or `next_ref`, or the generator's end.
  auto next_ref() noexcept {
    return detail::generator_awaitable<T, detail::generator_next_ref<T, detail::tail_transfer>>{*this};
  }

 private:
  friend class detail::generator_promise<T>;
  template <class, bool>
  friend class detail::generator_advance;
  explicit async_generator(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_{coroutine} {}
  void reset() noexcept {
    if (auto coroutine = std::exchange(coroutine_, nullptr)) coroutine.destroy();
  }

  std::coroutine_handle<promise_type> coroutine_;
};

template <class T>
async_generator<T> detail::generator_promise<T>::get_return_object() noexcept {
  return async_generator<T>{std::coroutine_handle<generator_promise>::from_promise(*this)};
}

}  // namespace rill
