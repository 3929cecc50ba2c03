// A server and a client in one process without a port: in_process_pair over gRPC, memory_pair in memory.
#pragma once

#include "rill/client/client.hpp"
#include "rill/engine/cq/in_process.hpp"
#include "rill/server/server.hpp"
#include "rill/testing/memory_pair.hpp"

#include <chrono>
#include <type_traits>
#include <utility>

namespace rill::testing {

/// A server over gRPC, with loops of its own, that listens nowhere: its clients reach it in the process. It starts when
/// its first client is made. Time is real here.
///
/// *Concurrency*: as `server`; never on one of the server's loops.
class in_process_pair {
 public:
  explicit in_process_pair(server_options options = {.loops = 1}) : server_{options} {}

  /// As `server::handle`, before the first client.
  template <auto M, class F>
  void handle(F&& handler, method_options options = {}) {
    server_.handle<M>(std::forward<F>(handler), options);
  }
  template <auto M, class T, class Member>
    requires std::is_member_function_pointer_v<Member>
  void handle(T& object, Member member, method_options options = {}) {
    server_.handle<M>(object, member, options);
  }
  /// As `server::on_error`, before the first client.
  void on_error(error_hook hook) { server_.on_error(std::move(hook)); }

  [[nodiscard]] rill::client client() {
    if (!std::exchange(started_, true)) server_.start();
    return rill::client{server_.in_process()};
  }
  [[nodiscard]] rill::server& server() noexcept { return server_; }
  /// As `server::shutdown`.
  void shutdown(std::chrono::nanoseconds grace) { server_.shutdown(grace); }

 private:
  rill::server server_;
  bool started_ = false;
};

}  // namespace rill::testing
