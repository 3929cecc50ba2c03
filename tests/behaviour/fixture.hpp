// Runs one behaviour test on every engine: a server made of a method table, and a client whose task runs where such a
// client runs. A test says `deployment d;` first; doctest then runs it once for each engine.
#pragma once

#include "echo.grpc.pb.h"

#include <rill/client/method_caller.hpp>
#include <rill/coro/detail/root.hpp>
#include <rill/coro/sync_wait.hpp>
#include <rill/coro/task.hpp>
#include <rill/engine/cq/channel.hpp>
#include <rill/engine/cq/in_process.hpp>
#include <rill/engine/cq/runtime.hpp>
#include <rill/engine/cq/server_engine.hpp>
#include <rill/rpc/status.hpp>
#include <rill/server/method_table.hpp>
#include <rill/testing/memory_engine.hpp>
#include <rill/testing/virtual_time.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace behaviour {

using namespace rill::test::v1;
using namespace std::chrono_literals;

enum class engine_kind {
  memory,      // in memory, server and client on one loop with virtual time
  in_process,  // gRPC's queues without a port, the client on an event loop
  tcp,         // gRPC's queues over TCP, the client on an event loop
  relayed,     // gRPC's queues over TCP, the client in sync_wait, behind a relay
};

/// Picks an engine: each run of the test case gets the next one.
inline engine_kind pick_engine() {
  engine_kind kind = engine_kind::memory;
  SUBCASE("in memory") { kind = engine_kind::memory; }
  SUBCASE("over queues, in process") { kind = engine_kind::in_process; }
  SUBCASE("over queues and TCP") { kind = engine_kind::tcp; }
  SUBCASE("over queues and TCP, relayed") { kind = engine_kind::relayed; }
  return kind;
}

/// Zero: the engine's own.
struct settings {
  rill::queue_limits queue{};
  std::size_t window = 0;
};

/// A server that is not started until the first `run`, and a client of it.
class deployment {
 public:
  explicit deployment(settings with = {})
      : deployment{pick_engine(), with, std::make_shared<rill::testing::virtual_time_loop>()} {}
  /// A second server, of the same kind.
  explicit deployment(const deployment& beside) : deployment{beside.kind_, beside.settings_, beside.loop_} {}
  deployment(engine_kind kind, settings with, std::shared_ptr<rill::testing::virtual_time_loop> loop)
      : kind_{kind}, settings_{with}, loop_{std::move(loop)} {
    if (kind == engine_kind::memory) {
      rill::testing::memory_options options;
      if (with.window != 0) options.window = with.window;
      if (with.queue.messages != 0) options.queue.messages = with.queue.messages;
      if (with.queue.bytes != 0) options.queue.bytes = with.queue.bytes;
      engine_ = std::make_unique<rill::testing::memory_engine>(*loop_, options);
    } else {
      rill::cq::server_options options;
      options.loops = 1;
      options.queue = with.queue;
      options.stream_window = with.window;
      auto engine = std::make_unique<rill::cq::server_engine>(options);
      engine->listen("127.0.0.1:0");
      queue_engine_ = engine.get();
      engine_ = std::move(engine);
    }
  }
  deployment& operator=(const deployment&) = delete;
  ~deployment() { stop(0s); }

  rill::method_table methods;

  [[nodiscard]] engine_kind kind() const noexcept { return kind_; }
  [[nodiscard]] bool in_memory() const noexcept { return kind_ == engine_kind::memory; }
  [[nodiscard]] rill::server_engine& engine() noexcept { return *engine_; }
  void stop(std::chrono::nanoseconds grace) {
    if (!started_) return;
    engine_->drain();
    engine_->stop(grace);
  }

  /// Starts the server; no effect if it runs.
  rill::method_caller client() {
    if (!std::exchange(started_, true)) engine_->start(methods.entries());
    if (kind_ == engine_kind::memory) {
      return rill::method_caller{static_cast<rill::testing::memory_engine&>(*engine_).in_process()};
    }
    if (kind_ == engine_kind::in_process) {
      return rill::method_caller{rill::cq::connect_in_process(*queue_engine_)};
    }
    rill::cq::channel_options options;
    options.queue = settings_.queue;
    options.stream_window = settings_.window;
    options.own_connection = true;
    return rill::method_caller{rill::cq::channel_connector::to(
        "127.0.0.1:" + std::to_string(queue_engine_->port()), nullptr, options)};
  }

  /// Runs `body(client)`, a task, to its end.
  template <class Body>
  void run(Body body) {
    run_task(run_body(std::move(body), client()));
  }
  /// Runs a task where clients run.
  void run_task(rill::task<> work) {
    switch (kind_) {
      case engine_kind::memory:
        rill::testing::run_on(*loop_, std::move(work));
        break;
      case engine_kind::relayed:
        rill::sync_wait(std::move(work));
        break;
      default:
        run_on_event_loop(std::move(work));
    }
  }

 private:
  template <class Body>
  static rill::task<> run_body(Body body, rill::method_caller client) {
    co_await body(client);
  }
  static void run_on_event_loop(rill::task<> work) {
    std::promise<void> done;
    rill::task_context context;
    context.home = &rill::runtime::shared().loop(0);
    root(std::move(work), done).post(context);
    done.get_future().get();
  }
  static rill::detail::root root(rill::task<> work, std::promise<void>& done) {
    std::exception_ptr failure;
    try {
      co_await std::move(work);
    } catch (...) {
      failure = std::current_exception();
    }
    if (failure) {
      done.set_exception(failure);
    } else {
      done.set_value();
    }
  }

  engine_kind kind_;
  settings settings_;
  bool started_ = false;
  std::shared_ptr<rill::testing::virtual_time_loop> loop_;
  std::unique_ptr<rill::server_engine> engine_;
  rill::cq::server_engine* queue_engine_ = nullptr;
};

inline Note note(std::string_view text, std::int64_t number = 0) {
  Note made;
  made.set_text(std::string{text});
  made.set_number(number);
  return made;
}

/// Awaits `work` and gives the status that it throws; OK if it throws none.
template <class A>
rill::task<rill::status> status_of(A work) {
  auto got = co_await rill::as_result(std::move(work));
  co_return got.status();
}

}  // namespace behaviour
