// Cancellation in place: a source, tokens that look at it, callbacks that hang on it. Nothing is allocated.
// The model is P2300's in-place stop source, with a reason.
#pragma once

#include "rill/coro/detail/intrusive.hpp"
#include "rill/coro/detail/spin_lock.hpp"
#include "rill/coro/errors.hpp"

#include <atomic>
#include <type_traits>
#include <utility>

namespace rill {

class cancellation_source;

namespace detail {

/// A callback's place in its source's list. `attach` runs the function at once when the source was tripped before.
class cancellation_hook : public list_link<cancellation_hook> {
 public:
  using function = void (*)(cancellation_hook&) noexcept;

  explicit cancellation_hook(function f) noexcept : function_{f} {}
  cancellation_hook(const cancellation_hook&) = delete;
  cancellation_hook& operator=(const cancellation_hook&) = delete;
  ~cancellation_hook() { detach(); }

  void attach(cancellation_source* source) noexcept;
  /// After it returns the function is not running and will not run, except when called from inside it.
  void detach() noexcept;

 private:
  friend class rill::cancellation_source;

  function function_;
  cancellation_source* source_ = nullptr;
  bool* destroyed_ = nullptr;          // set while the function runs; tells the runner that the hook is gone
  std::atomic<bool> finished_{false};  // false until a run on another thread has returned
};

/// An address that is unique to the calling thread.
inline const void* this_thread_mark() noexcept {
  static thread_local char mark;
  return &mark;
}

}  // namespace detail

/// Looks at a `cancellation_source`; cheap to copy. A default token is never cancelled.
/// *Lifetime*: the source outlives its tokens.
class cancellation_token {
 public:
  cancellation_token() noexcept = default;

  [[nodiscard]] bool is_cancelled() const noexcept;
  [[nodiscard]] cancel_reason reason() const noexcept;
  /// Whether there is a source at all.
  [[nodiscard]] bool can_be_cancelled() const noexcept { return source_ != nullptr; }
  /// *Throws*: `operation_cancelled` if cancelled.
  void throw_if_cancelled() const {
    if (const cancel_reason why = reason(); why != cancel_reason::none) throw operation_cancelled{why};
  }
  [[nodiscard]] cancellation_source* source() const noexcept { return source_; }

  friend bool operator==(cancellation_token, cancellation_token) noexcept = default;

 private:
  friend class cancellation_source;
  explicit cancellation_token(cancellation_source* source) noexcept : source_{source} {}

  cancellation_source* source_ = nullptr;
};

/// Trips tokens, once. Holds its state in place.
/// *Concurrency*: `cancel` and registration from any thread. *Lifetime*: outlives its tokens and callbacks.
class cancellation_source {
 public:
  cancellation_source() noexcept = default;
  cancellation_source(const cancellation_source&) = delete;
  cancellation_source& operator=(const cancellation_source&) = delete;

  [[nodiscard]] cancellation_token token() noexcept { return cancellation_token{this}; }
  [[nodiscard]] bool is_cancelled() const noexcept { return reason() != cancel_reason::none; }
  [[nodiscard]] cancel_reason reason() const noexcept { return reason_.load(std::memory_order_acquire); }

  /// Runs every callback on this thread, then returns true; false if it was tripped before.
  bool cancel(cancel_reason why = cancel_reason::cancelled) noexcept {
    lock_.lock();
    if (reason_.load(std::memory_order_relaxed) != cancel_reason::none) {
      lock_.unlock();
      return false;
    }
    runner_ = detail::this_thread_mark();
    reason_.store(why, std::memory_order_release);
    while (detail::cancellation_hook* hook = hooks_.pop_front()) {
      bool destroyed = false;
      hook->destroyed_ = &destroyed;
      lock_.unlock();
      hook->function_(*hook);
      if (!destroyed) {
        // Whoever detaches it elsewhere waits for this store, and only then may free it: it is the last touch.
        hook->destroyed_ = nullptr;
        hook->finished_.store(true, std::memory_order_release);
      }
      lock_.lock();
    }
    lock_.unlock();
    return true;
  }

 private:
  friend class detail::cancellation_hook;

  std::atomic<cancel_reason> reason_{cancel_reason::none};
  detail::spin_lock lock_;
  const void* runner_ = nullptr;  // the thread that runs the callbacks
  detail::intrusive_list<detail::cancellation_hook, detail::cancellation_hook> hooks_;
};

inline bool cancellation_token::is_cancelled() const noexcept {
  return source_ != nullptr && source_->is_cancelled();
}
inline cancel_reason cancellation_token::reason() const noexcept {
  return source_ != nullptr ? source_->reason() : cancel_reason::none;
}

inline void detail::cancellation_hook::attach(cancellation_source* source) noexcept {
  if (source == nullptr) return;
  source->lock_.lock();
  if (!source->is_cancelled()) {
    source_ = source;
    source->hooks_.push_back(*this);
    source->lock_.unlock();
    return;
  }
  source->lock_.unlock();
  function_(*this);
}

inline void detail::cancellation_hook::detach() noexcept {
  cancellation_source* source = std::exchange(source_, nullptr);
  if (source == nullptr) return;
  source->lock_.lock();
  if (linked()) {
    unlink();
    source->lock_.unlock();
    return;
  }
  const bool from_inside = source->runner_ == this_thread_mark();
  if (from_inside && destroyed_ != nullptr) *destroyed_ = true;
  source->lock_.unlock();
  if (from_inside) return;
  while (!finished_.load(std::memory_order_acquire)) {
#if defined(__unix__) || defined(__APPLE__)
    ::sched_yield();
#endif
  }
}

/// Calls `f` once when its token's source is tripped, on the thread that trips it; at once if it was before.
/// *Concurrency*: the destructor waits for a call that runs on another thread. `f` must not throw.
template <class F>
class [[nodiscard]] cancellation_callback : private detail::cancellation_hook {
 public:
  template <class G>
    requires std::is_constructible_v<F, G>
  cancellation_callback(cancellation_token token, G&& f) noexcept(std::is_nothrow_constructible_v<F, G>)
      : cancellation_hook{[](cancellation_hook& hook) noexcept {
          static_cast<cancellation_callback&>(hook).f_();
        }},
        f_(std::forward<G>(f)) {
    attach(token.source());
  }
  ~cancellation_callback() { detach(); }

 private:
  F f_;
};

template <class F>
cancellation_callback(cancellation_token, F) -> cancellation_callback<F>;

}  // namespace rill
