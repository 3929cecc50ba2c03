// memory_pair: a server and its clients in one test, with no port, no gRPC and, on a loop with virtual time, no waiting.
#pragma once

#include "rill/client/method_caller.hpp"
#include "rill/coro/task_context.hpp"
#include "rill/server/method_table.hpp"
#include "rill/testing/memory_engine.hpp"

#include <chrono>
#include <memory>
#include <type_traits>
#include <utility>

namespace rill::testing {

/// A server with its handlers, on the home of the test's task. It starts when its first client is made.
///
/// *Concurrency*: on that home. *Lifetime*: the destructor stops the server with no grace, and runs the loop until its
/// handlers have ended; handlers, and what they refer to, outlive it.
class memory_pair {
 public:
  /// `context` is what `co_await rill::this_context()` gives.
  explicit memory_pair(const task_context& context, const memory_options& options = {})
      : engine_{*context.home, options} {}

  /// As `server::handle`, before the first client.
  template <auto M, class F>
  void handle(F&& handler, method_options options = {}) {
    check_not_started();
    methods_.handle<M>(std::forward<F>(handler), options);
  }
  template <auto M, class T, class Member>
    requires std::is_member_function_pointer_v<Member>
  void handle(T& object, Member member, method_options options = {}) {
    check_not_started();
    methods_.handle<M>(object, member, options);
  }
  /// As `server::on_error`, before the first client.
  void on_error(error_hook hook) {
    check_not_started();
    methods_.on_error(std::move(hook));
  }

  /// A client of the server; a `rill::client` can be made of its `connector()`.
  [[nodiscard]] method_caller client() {
    if (!std::exchange(started_, true)) engine_.start(methods_.entries());
    return method_caller{engine_.in_process()};
  }
  /// What is between them, to be broken, frozen or slowed.
  [[nodiscard]] memory_connection& connection() noexcept { return engine_.connection(); }
  [[nodiscard]] memory_engine& engine() noexcept { return engine_; }

  /// As `server::shutdown`. It runs the loop meanwhile, so other tasks go on.
  void shutdown(std::chrono::nanoseconds grace) {
    engine_.drain();
    engine_.stop(grace);
  }

 private:
  void check_not_started() const {
    if (started_) throw usage_error{"rill: the server has started already"};
  }

  method_table methods_;
  memory_engine engine_;
  bool started_ = false;
};

}  // namespace rill::testing
