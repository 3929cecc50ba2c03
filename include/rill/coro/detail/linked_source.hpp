// A cancellation source that is tripped by others too: how cancellation flows from a context into a derived one.
#pragma once

#include "rill/coro/cancellation.hpp"

namespace rill::detail {

/// As long as it lives, trips `to` when `from` trips, with the same reason.
class cancellation_link : private cancellation_hook {
 public:
  cancellation_link(cancellation_token from, cancellation_source& to) noexcept
      : cancellation_hook{&relay}, from_{from}, to_{to} {
    attach(from.source());
  }
  ~cancellation_link() { detach(); }

 private:
  static void relay(cancellation_hook& hook) noexcept {
    auto& self = static_cast<cancellation_link&>(hook);
    self.to_.cancel(self.from_.reason());
  }

  cancellation_token from_;
  cancellation_source& to_;
};

/// A source of one's own that its parent trips too.
class linked_source {
 public:
  explicit linked_source(cancellation_token parent) noexcept : parent_{parent}, link_{parent, source_} {}

  [[nodiscard]] cancellation_token token() noexcept { return source_.token(); }
  [[nodiscard]] cancellation_token parent() const noexcept { return parent_; }
  [[nodiscard]] cancellation_source& source() noexcept { return source_; }
  bool cancel(cancel_reason why = cancel_reason::cancelled) noexcept { return source_.cancel(why); }

 private:
  cancellation_token parent_;
  cancellation_source source_;
  cancellation_link link_;
};

}  // namespace rill::detail
