// server: serves methods over gRPC.
#pragma once

#include "rill/engine/cq/server_engine.hpp"
#include "rill/server/detail/signal_wait.hpp"
#include "rill/server/method_table.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace rill {

using server_options = cq::server_options;

/// A gRPC server. Say where to listen and what to handle, then `run` or `start` it, once.
///
/// *Concurrency*: one call at a time, on a thread that is not one of its loops; `shutdown` may end a `run`.
/// *Lifetime*: the destructor shuts down with no grace. Handlers, and what they refer to, outlive it.
class server {
 public:
  server() = default;
  explicit server(server_options options) : engine_{options} {}
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  ~server() { shutdown(std::chrono::nanoseconds{0}); }

  /// Adds an address such as "0.0.0.0:50051", "[::]:0" or "unix:/run/greeter.sock"; with no credentials it is insecure.
  void listen(std::string address, std::shared_ptr<grpc::ServerCredentials> credentials = nullptr) {
    engine_.listen(std::move(address), std::move(credentials));
  }
  /// Handles `M`, such as `&Greeter::Service::SayHello`; see `method_table::handle`.
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
  /// Where the texts go that clients must not see: of handlers' exceptions, and of stalls, that is of handlers that
  /// block their loop for longer than `server_options::stall_threshold`. Standard error unless set.
  void on_error(error_hook hook) {
    check_not_started();
    methods_.on_error(std::move(hook));
  }
  /// Calls `hook` with gRPC's builder before the server is built, for what rill has no setting for.
  void configure(cq::server_engine::builder_hook hook) {
    check_not_started();
    engine_.configure(std::move(hook));
  }

  /// Starts to serve, and returns.
  /// *Throws*: `std::runtime_error` if an address cannot be used; `std::logic_error` the second time.
  void start() {
    check_not_started();
    started_ = true;
    engine_.on_stall([reports = methods_.error_reports()](const cq::stall& seen) {
      detail::report_stall(*reports, seen.task, seen.time, seen.over);
    });
    engine_.start(methods_.entries());
  }
  /// Serves until SIGINT, SIGTERM or `shutdown`, then shuts down with `grace`. The calling thread sleeps meanwhile.
  /// Starts the server if `start` did not, for example to learn the port first. From the first signal on, further
  /// ones do what they did before. *Throws*: as `start`.
  void run(std::chrono::nanoseconds grace = std::chrono::seconds{30}) {
    stopping_.watch_signals();
    if (!started_) start();
    stopping_.wait();
    shutdown(grace);
  }
  /// Refuses new calls and trips `server_context::draining` at once; cancels what has not ended after `grace`.
  /// Returns when every handler has ended and the loops have stopped. No effect the second time.
  void shutdown(std::chrono::nanoseconds grace) {
    stopping_.notify();
    engine_.drain();
    engine_.stop(grace);
  }

  /// The port of an address, after `start`: what port 0 became. *Throws*: `std::out_of_range`.
  [[nodiscard]] int port(std::size_t listener = 0) const { return engine_.port(listener); }
  /// Opens calls to this server without a port, for a `client` in the same process; after `start`.
  /// Needs rill/engine/cq/in_process.hpp, as rill.hpp has it: a program
  /// that only serves does not compile a client.
  template <class Engine = cq::server_engine>
  [[nodiscard]] std::shared_ptr<connector> in_process() {
    return connect_in_process(static_cast<Engine&>(engine_));
  }
  /// gRPC's own object, after `start`.
  [[nodiscard]] grpc::Server* native() noexcept { return engine_.native(); }

 private:
  void check_not_started() const {
    if (started_) throw std::logic_error{"rill: the server has started already"};
  }

  method_table methods_;
  cq::server_engine engine_;
  detail::signal_wait stopping_;
  bool started_ = false;
};

}  // namespace rill
