// with_cancellation for a std::stop_token. A header of its own, because <stop_token> is dear to compile.
#pragma once

#include "rill/coro/cancellation.hpp"
#include "rill/coro/detail/derived_context.hpp"

#include <stop_token>
#include <utility>

namespace rill {

namespace detail {

class stop_token_derivation {
 public:
  stop_token_derivation(const task_context& outer, std::stop_token& token)
      : source_{outer.token}, context_{outer}, link_{std::move(token), relay{source_}} {
    context_.token = source_.token();
  }

  [[nodiscard]] task_context& context() noexcept { return context_; }
  void start() const noexcept {}
  void stop() const noexcept {}

 private:
  struct relay {
    void operator()() const noexcept { source.cancel(); }
    linked_source& source;
  };

  linked_source source_;
  task_context context_;
  std::stop_callback<relay> link_;
};

}  // namespace detail

/// Awaits `work`, which is cancelled when `token`'s source is asked to stop or when the awaiter is cancelled.
/// *Completes* when `work` has ended, with its value or exception.
template <class A>
auto with_cancellation(std::stop_token token, A&& work) {
  return detail::derived_awaitable<detail::stop_token_derivation, std::stop_token, A>{std::move(token),
                                                                                      std::forward<A>(work)};
}

}  // namespace rill
