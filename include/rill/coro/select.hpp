// select: waits for several operations at once, takes the first that can complete, and nothing from the others.
#pragma once

#include "rill/coro/operation.hpp"

#include <cstdint>
#include <type_traits>
#include <utility>
#include <variant>

namespace rill {

namespace detail {

template <std::uint32_t Index, class Op>
struct select_branch {
  using operation_type = Op;
  static constexpr std::uint32_t index = Index;

  explicit select_branch(Op&& from) noexcept : op{std::move(from)} {}
  select_branch(select_branch&& other) noexcept : op{std::move(other.op)} {}

  Op op;
  waiter claim;
};

template <class Result>
using select_alternative =
    std::conditional_t<std::is_void_v<Result>, std::monostate, std::remove_cvref_t<Result>>;

template <class Indices, class... Ops>
class select_branches;

/// The operations of a `select`, as a `Wait` of `wait_awaiter`.
template <std::uint32_t... Indices, class... Ops>
class select_branches<std::integer_sequence<std::uint32_t, Indices...>, Ops...>
    : private select_branch<Indices, Ops>... {
 public:
  using result = std::variant<select_alternative<decltype(std::declval<Ops&>().take())>...>;

  explicit select_branches(Ops&&... ops) noexcept : select_branch<Indices, Ops>{std::move(ops)}... {}
  select_branches(select_branches&&) noexcept = default;

  void bind(task_context& context) {
    context_ = &context;
    (branch<Indices>().op.rill_bind(context), ...);
  }
  [[nodiscard]] task_context& context() const noexcept { return *context_; }

  [[nodiscard]] std::uint32_t poll() noexcept {
    std::uint32_t winner = wait_group::open;
    static_cast<void>(((branch<Indices>().op.poll() && (winner = Indices, true)) || ...));
    return winner;
  }
  [[nodiscard]] bool arm(wait_group& group) noexcept { return (arm_branch(branch<Indices>(), group) || ...); }
  void disarm() noexcept { (branch<Indices>().op.disarm(), ...); }
  result take(std::uint32_t winner) { return take_from<0>(winner); }

 private:
  template <std::uint32_t Index, class Op>
  static select_branch<Index, Op>& as_branch(select_branch<Index, Op>& self) noexcept {
    return self;
  }
  template <std::uint32_t Index>
  auto& branch() noexcept {
    return as_branch<Index>(*this);
  }
  template <class Branch>
  static bool arm_branch(Branch& branch, wait_group& group) noexcept {
    branch.claim.group = &group;
    branch.claim.index = Branch::index;
    return branch.op.arm(branch.claim);
  }
  template <std::uint32_t Index>
  result take_from(std::uint32_t winner) {
    if constexpr (Index + 1 < sizeof...(Ops)) {
      if (winner != Index) return take_from<Index + 1>(winner);
    }
    auto& op = branch<Index>().op;
    if constexpr (std::is_void_v<decltype(op.take())>) {
      op.take();
      return result{std::in_place_index<Index>};
    } else {
      return result{std::in_place_index<Index>, op.take()};
    }
  }

  task_context* context_ = nullptr;
};

template <class... Ops>
class [[nodiscard]] select_operation {
  using branches = select_branches<std::make_integer_sequence<std::uint32_t, sizeof...(Ops)>, Ops...>;

 public:
  explicit select_operation(Ops&&... ops) noexcept : branches_{std::move(ops)...} {}
  select_operation(select_operation&&) noexcept = default;

  void rill_bind(task_context& context) { branches_.bind(context); }
  auto operator co_await() && noexcept { return wait_awaiter<select_wait>{branches_}; }

 private:
  /// `wait_awaiter` keeps its wait by value; this one refers to the operand of the `co_await`.
  class select_wait {
   public:
    explicit select_wait(branches& of) noexcept : of_{of} {}
    [[nodiscard]] task_context& context() const noexcept { return of_.context(); }
    [[nodiscard]] std::uint32_t poll() noexcept { return of_.poll(); }
    [[nodiscard]] bool arm(wait_group& group) noexcept { return of_.arm(group); }
    void disarm() noexcept { of_.disarm(); }
    typename branches::result take(std::uint32_t winner) { return of_.take(winner); }

   private:
    branches& of_;
  };

  branches branches_;
};

}  // namespace detail

/// Waits for the first of `ops` that can complete; they are tried in the order written, so an earlier one is
/// preferred. The winner is decided before anything moves: the others have taken, sent and acquired nothing.
/// *Completes* with a `std::variant` of the operations' results by position, `std::monostate` for those without one.
/// *Cancellation*: throws `operation_cancelled`, with nothing taken from any. *Throws* what the winner throws.
template <class... Ops>
auto select(Ops&&... ops) noexcept {
  constexpr bool all_claimable = (detail::claimable<std::remove_cvref_t<Ops>> && ...);
  static_assert(sizeof...(Ops) > 0, "rill: select needs at least one operation");
  static_assert(
      all_claimable,
      "rill: select takes only operations that lose nothing when they are not taken (receive, send, "
      "acquire, lock, wait, sleep, read, write); race tasks with rill::when_any instead");
  static_assert((!std::is_lvalue_reference_v<Ops> && ...),
                "rill: make the operations in the call to select, or move them in");
  if constexpr (all_claimable) return detail::select_operation<Ops...>{std::move(ops)...};
}

}  // namespace rill
