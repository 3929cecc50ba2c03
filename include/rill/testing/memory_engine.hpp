// An engine in memory: servers and clients in one process, with no gRPC, no port and no thread of its own.
// Everything above the seam runs on it, on a loop with virtual time if wanted, over a connection that tests can break.
#pragma once

#include "rill/coro/detail/run_loop.hpp"
#include "rill/rpc/engine.hpp"
#include "rill/testing/memory/connector.hpp"
#include "rill/testing/memory/idle_wait.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace rill::testing {

/// The connection between the clients and the server of a memory engine, for tests of what happens when it fails.
/// *Concurrency*: any thread. *Lifetime*: its engine's.
class memory_connection {
 public:
  explicit memory_connection(std::shared_ptr<memory::network> of) noexcept : network_{std::move(of)} {}

  /// Breaks every call: its client gets UNAVAILABLE, its server's token trips, what was under way is lost.
  void disconnect() {
    break_all({status_code::UNAVAILABLE, "the connection was lost"}, cancel_reason::cancelled);
  }
  /// Disconnects, and refuses calls with UNAVAILABLE until `up`; those that wait for ready wait.
  void down() {
    {
      memory::section held{*network_};
      network_->down = true;
    }
    disconnect();
  }
  void up() {
    memory::section held{*network_};
    network_->down = false;
    network_->links.for_each([&](memory::link& call) {
      if (!call.connected && !call.cut) memory::memory_connector::connect(held, call);
    });
  }
  /// Nothing arrives any more, and nobody is told, until `thaw`. Deadlines pass nevertheless.
  void freeze() {
    memory::section held{*network_};
    network_->frozen = true;
  }
  void thaw() {
    memory::section held{*network_};
    network_->frozen = false;
    network_->links.for_each([&](memory::link& call) {
      held.wake(*call.client_end);
      held.wake(*call.server_end);
    });
  }
  /// What is sent from now on takes `time` to arrive.
  void delay(std::chrono::nanoseconds time) {
    memory::section held{*network_};
    network_->delay = time.count();
  }
  /// While it is on, what the server reads gives its clients no window back.
  void stall_server(bool on) {
    memory::section held{*network_};
    network_->server_stalled = on;
    network_->links.for_each([&](memory::link& call) {
      call.request.stall(on);
      call.move(held);
    });
  }
  /// While it is on, what clients read gives the server no window back.
  void stall_clients(bool on) {
    memory::section held{*network_};
    network_->client_stalled = on;
    network_->links.for_each([&](memory::link& call) {
      call.response.stall(on);
      call.move(held);
    });
  }

 private:
  friend class memory_engine;

  /// Calls that wait for a server go on waiting, unless it has stopped.
  void break_all(const status& seen, cancel_reason why) {
    memory::section held{*network_};
    network_->links.for_each([&](memory::link& call) {
      if (call.cut || call.response.end_arrived || (!call.connected && network_->accepting)) return;
      call.break_client(held, seen, true);
      call.break_server(held, why, true);
    });
  }

  std::shared_ptr<memory::network> network_;
};

/// Runs a server in memory. All its calls live on one home; clients may have any home.
///
/// *Lifetime*: the home outlives the engine. The destructor stops it with no grace.
/// *Concurrency*: if the home is a loop that a thread runs for itself, as `sync_wait` and virtual time do, `stop` and the
/// destructor are called on that thread, and run the loop while they wait.
class memory_engine final : public server_engine {
 public:
  explicit memory_engine(scheduler& home, const memory_options& options = {})
      : network_{std::make_shared<memory::network>(home, options)}, connection_{network_} {}
  ~memory_engine() override { stop(std::chrono::nanoseconds{0}); }

  /// *Throws*: `usage_error` if it was started before, or two methods have one path.
  void start(std::span<const method_entry> methods) override {
    memory::section held{*network_};
    if (network_->accepting || network_->draining.is_cancelled()) {
      throw usage_error{"rill: a memory engine can be started once"};
    }
    for (const method_entry& one : methods) {
      if (!network_->methods.emplace(one.path, &one).second) {
        throw usage_error{"rill: two methods have the same path"};
      }
    }
    network_->accepting = true;
  }
  [[nodiscard]] std::shared_ptr<connector> in_process() {
    return std::make_shared<memory::memory_connector>(network_);
  }
  [[nodiscard]] memory_connection& connection() noexcept { return connection_; }
  /// The calls that have not ended on the server's side.
  [[nodiscard]] std::size_t calls() const noexcept {
    const std::lock_guard held{network_->mutex};
    return network_->calls;
  }

  void drain() noexcept override {
    {
      const std::lock_guard held{network_->mutex};
      network_->accepting = false;
    }
    network_->draining.cancel(cancel_reason::shutdown);
  }
  void stop(std::chrono::nanoseconds grace) noexcept override {
    drain();
    if (grace.count() > 0) wait_until_idle(grace.count());
    trip_all();
    wait_until_idle(unwinding_time.count());
    connection_.break_all({status_code::UNAVAILABLE, "the server stopped"}, cancel_reason::shutdown);
    wait_until_idle(rill::detail::never);
    memory::wait_until_posted(*network_, network_->posting);
  }

 private:
  /// How long handlers may answer after their tokens were tripped, before their calls are cut.
  static constexpr std::chrono::nanoseconds unwinding_time = std::chrono::milliseconds{500};

  /// Trips the tokens and leaves the calls open, so that handlers can still answer.
  void trip_all() {
    memory::section held{*network_};
    network_->links.for_each([&](memory::link& call) {
      call.server.tripped = true;
      held.wake(*call.server_end);
    });
  }
  /// Until no call is left, at most for `time`.
  void wait_until_idle(std::int64_t time) noexcept {
    if (auto* loop = dynamic_cast<rill::detail::run_loop*>(&network_->home)) {
      memory::idle_wait{*network_, *loop}.run(time);
      return;
    }
    std::unique_lock held{network_->mutex};
    const auto idle = [this] { return network_->calls == 0; };
    if (time == rill::detail::never) {
      network_->idle.wait(held, idle);
    } else {
      network_->idle.wait_for(held, std::chrono::nanoseconds{time}, idle);
    }
  }

  std::shared_ptr<memory::network> network_;
  memory_connection connection_;
};

}  // namespace rill::testing
