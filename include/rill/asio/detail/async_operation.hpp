// An Asio operation that has not started yet: what `use_task` gives. It starts when a rill task awaits it.
#pragma once

#include "rill/asio/detail/async_state.hpp"
#include "rill/coro/errors.hpp"
#include "rill/coro/task_context.hpp"

#include <asio/error.hpp>
#include <asio/error_code.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

namespace rill::detail {

/// What an operation completes with.
template <class... Args>
struct async_signature {
  using state = async_result_state<Args...>;
  using handler = async_handler<Args...>;
  using tuple = std::tuple<Args...>;
};

template <class First>
inline constexpr bool reports_failure =
    std::is_same_v<First, ::asio::error_code> || std::is_same_v<First, std::exception_ptr>;

/// Whether this is how a cancelled operation may end. Which code stands for that is up to the operation, so that any
/// does; an exception of another kind is an error of its own.
[[nodiscard]] inline bool failed_with_code(const ::asio::error_code& error) noexcept {
  return static_cast<bool>(error);
}
[[nodiscard]] inline bool failed_with_code(const std::exception_ptr& error) noexcept {
  if (!error) return false;
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error&) {
    return true;
  } catch (...) {
    return false;
  }
}
template <class T>
[[nodiscard]] bool failed_with_code(const T&) noexcept {
  return false;
}
inline void throw_failure(const ::asio::error_code& error) {
  if (error) throw std::system_error{error};
}
inline void throw_failure(const std::exception_ptr& error) {
  if (error) std::rethrow_exception(error);
}

/// A tuple's elements from `Skip` on: nothing, the one, or a tuple of them.
template <std::size_t Skip, class... Args>
auto unpack(std::tuple<Args...>& all) {
  constexpr std::size_t left = sizeof...(Args) - Skip;
  if constexpr (left == 1) {
    return std::get<Skip>(std::move(all));
  } else if constexpr (left > 1) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return std::tuple{std::get<Skip + I>(std::move(all))...};
    }(std::make_index_sequence<left>{});
  }
}
template <bool Throws, class... Args>
auto deliver(std::tuple<Args...>& all) {
  if constexpr (!Throws) {
    return std::move(all);
  } else if constexpr (sizeof...(Args) == 0) {
    return;
  } else if constexpr (reports_failure<std::tuple_element_t<0, std::tuple<Args...>>>) {
    throw_failure(std::get<0>(all));
    return unpack<1>(all);
  } else {
    return unpack<0>(all);
  }
}

template <bool Throws, class Signature, class Initiation, class... InitArgs>
class [[nodiscard]] async_operation {
 public:
  template <class I, class... A>
  explicit async_operation(I&& initiation, A&&... arguments)
      : initiation_{std::forward<I>(initiation)}, arguments_{std::forward<A>(arguments)...} {}

  void rill_bind(task_context& context) noexcept { context_ = &context; }

  class awaiter {
   public:
    explicit awaiter(async_operation& operation) noexcept : operation_{operation} {}
    awaiter(const awaiter&) = delete;
    awaiter& operator=(const awaiter&) = delete;
    ~awaiter() {
      if (state_ == nullptr) return;
      if (!resumed_) state_->abandon();
      state_->release();
    }

    [[nodiscard]] bool await_ready() const {
      operation_.context_->token.throw_if_cancelled();
      return false;
    }
    [[nodiscard]] bool await_suspend(std::coroutine_handle<> continuation) {
      state_ = new typename Signature::state{*operation_.context_};
      typename Signature::handler handler{*state_};
      std::apply(
          [&](InitArgs&... arguments) {
            std::move(operation_.initiation_)(std::move(handler), std::move(arguments)...);
          },
          operation_.arguments_);
      return state_->suspend(continuation);
    }
    auto await_resume() {
      resumed_ = true;
      state_->resumed();
      typename Signature::tuple* result = state_->result ? &*state_->result : nullptr;
      if (state_->token().is_cancelled() && (result == nullptr || failed(*result))) {
        throw operation_cancelled{state_->token().reason()};
      }
      if (result == nullptr) throw std::system_error{::asio::error::operation_aborted};
      return deliver<Throws>(*result);
    }

   private:
    [[nodiscard]] static bool failed(const typename Signature::tuple& result) noexcept {
      if constexpr (std::tuple_size_v<typename Signature::tuple> == 0) {
        return false;
      } else {
        return failed_with_code(std::get<0>(result));
      }
    }

    async_operation& operation_;
    typename Signature::state* state_ = nullptr;
    bool resumed_ = false;
  };
  [[nodiscard]] awaiter operator co_await() && noexcept { return awaiter{*this}; }

 private:
  task_context* context_ = nullptr;
  Initiation initiation_;
  std::tuple<InitArgs...> arguments_;
};

}  // namespace rill::detail
