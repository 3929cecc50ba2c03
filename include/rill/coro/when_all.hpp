// when_all: several awaitables side by side, until all have ended.
#pragma once

#include "rill/coro/detail/branch.hpp"

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace rill {

namespace detail {

struct all_results {
  static constexpr fork_until until = fork_until::failure;

  template <class... Ts>
  static auto of(std::tuple<branch<Ts>...>& branches, std::size_t failed) {
    if (failed != fork::none) rethrow(branches, failed, std::index_sequence_for<Ts...>{});
    if constexpr (!(std::is_void_v<Ts> && ...)) {
      return std::apply([](auto&... each) { return std::tuple<non_void_t<Ts>...>{get_non_void(each)...}; },
                        branches);
    }
  }
  template <class T>
  static auto of(std::vector<branch<T>>& branches, std::size_t failed) {
    static_assert(!std::is_reference_v<T>, "rill: a vector cannot hold references; return pointers instead");
    if (failed != fork::none) static_cast<void>(branches[failed].get());
    if constexpr (!std::is_void_v<T>) {
      std::vector<T> results;
      results.reserve(branches.size());
      for (branch<T>& each : branches) results.push_back(each.get());
      return results;
    }
  }

 private:
  template <class Branches, std::size_t... Index>
  static void rethrow(Branches& branches, std::size_t failed, std::index_sequence<Index...>) {
    static_cast<void>(
        ((Index == failed && (static_cast<void>(std::get<Index>(branches).get()), true)) || ...));
  }
};

}  // namespace detail

/// Awaits all of `work` side by side, each started in the order written: tasks and whatever else can be awaited.
///
/// *Completes* when all have ended, with a tuple of their values, where `std::monostate` stands for `void`; with
/// nothing if all are `void`. *Throws*: the first failure. It cancels the others, which are awaited before it is
/// thrown; what they end with is dropped. *Cancellation*: flows into all of them.
template <class... As>
  requires(detail::awaitable<As> && ...)
auto when_all(As&&... work) {
  using branches = detail::branch_tuple<As...>;
  return detail::fork_awaitable<branches, detail::all_results>{std::tuple<As...>{std::forward<As>(work)...}};
}

/// The same for any number of one type. *Completes* with a vector of their values, or with nothing if they are `void`.
template <detail::awaitable A>
auto when_all(std::vector<A> work) {
  return detail::fork_awaitable<detail::branch_vector<A>, detail::all_results>{std::move(work)};
}

}  // namespace rill
