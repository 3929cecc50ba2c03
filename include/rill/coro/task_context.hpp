// What flows along a chain of awaits: home, cancellation token, deadline and values.
// A child task shares its parent's context; with_timeout and its kin derive one.
#pragma once

#include "rill/coro/cancellation.hpp"
#include "rill/coro/detail/timer_heap.hpp"
#include "rill/coro/scheduler.hpp"

#include <cstdint>

namespace rill {

namespace detail {

/// A typed value in a context: a chain from the innermost `with_value` outwards.
struct context_value {
  const void* key;
  const void* value;
  const context_value* outer;
};

/// An address that stands for the type `T`.
template <class T>
inline constexpr char type_key = 0;

}  // namespace detail

/// The context of a running task; read it with `co_await rill::this_context()`.
/// *Lifetime*: as long as the task that it belongs to.
struct task_context {
  scheduler* home = nullptr;
  cancellation_token token;
  std::int64_t deadline = detail::never;  ///< In the home's nanoseconds; `detail::never` if there is none.
  const detail::context_value* values = nullptr;
  /// What diagnostics call the task: for a handler and all that it awaits, the method's path. Static storage, or null.
  const char* name = nullptr;

  /// The innermost value of type `T`, or null.
  template <class T>
  [[nodiscard]] const T* find() const noexcept {
    for (const detail::context_value* at = values; at != nullptr; at = at->outer) {
      if (at->key == &detail::type_key<T>) return static_cast<const T*>(at->value);
    }
    return nullptr;
  }
  [[nodiscard]] bool has_deadline() const noexcept { return deadline != detail::never; }
};

}  // namespace rill
