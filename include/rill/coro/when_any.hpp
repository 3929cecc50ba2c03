// when_any: several awaitables side by side, of which the first to end decides.
#pragma once

#include "rill/coro/detail/branch.hpp"
#include "rill/coro/errors.hpp"

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace rill {

namespace detail {

struct first_result {
  static constexpr fork_until until = fork_until::completion;

  template <class... Ts>
  static std::variant<non_void_t<Ts>...> of(std::tuple<branch<Ts>...>& branches, std::size_t first) {
    return pick<0, std::variant<non_void_t<Ts>...>>(branches, first);
  }
  template <class T>
  static auto of(std::vector<branch<T>>& branches, std::size_t first) {
    if constexpr (std::is_void_v<T>) {
      branches[first].get();
      return first;
    } else {
      return std::pair<std::size_t, T>{first, branches[first].get()};
    }
  }

 private:
  template <std::size_t Index, class Variant, class Branches>
  static Variant pick(Branches& branches, std::size_t first) {
    if constexpr (Index + 1 < std::tuple_size_v<Branches>) {
      if (first != Index) return pick<Index + 1, Variant>(branches, first);
    }
    return Variant{std::in_place_index<Index>, get_non_void(std::get<Index>(branches))};
  }
};

}  // namespace detail

/// Awaits the first of `work` to end; the others are cancelled and awaited. All are started, in the order written.
///
/// *Completes* when all have ended, with a variant of the first one's value, whose index tells which it was;
/// `std::monostate` stands for `void`. *Throws*: what the first to end threw, if it failed. What the others end with,
/// value or exception, is dropped: to lose nothing, race operations with `select` instead.
/// *Cancellation*: flows into all of them.
template <class... As>
  requires(sizeof...(As) != 0 && (detail::awaitable<As> && ...))
auto when_any(As&&... work) {
  using branches = detail::branch_tuple<As...>;
  return detail::fork_awaitable<branches, detail::first_result>{std::tuple<As...>{std::forward<As>(work)...}};
}

/// The same for any number of one type. *Completes* with the index of the first to end and its value, as a pair; with
/// the index alone if they are `void`. *Throws*: `usage_error` if there are none.
template <detail::awaitable A>
auto when_any(std::vector<A> work) {
  if (work.empty()) throw usage_error{"rill: when_any of nothing would never end"};
  return detail::fork_awaitable<detail::branch_vector<A>, detail::first_result>{std::move(work)};
}

}  // namespace rill
