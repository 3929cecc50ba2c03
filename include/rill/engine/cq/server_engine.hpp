// server_engine: runs a server over gRPC's completion queues, one queue and one thread a loop.
#pragma once

#include "rill/coro/cancellation.hpp"
#include "rill/engine/cq/event_loop.hpp"
#include "rill/engine/cq/peer_sockets.hpp"
#include "rill/engine/cq/server_call.hpp"
#include "rill/engine/cq/stall_watch.hpp"
#include "rill/engine/cq/thread.hpp"
#include "rill/rpc/engine.hpp"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace rill::cq {

/// What a server over completion queues can be told.
struct server_options {
  int loops = 0;  ///< Threads that serve calls; 0: one for each core.
  /// Calls of one method that one loop can accept at once; more wait in gRPC for a moment. Each costs memory and, in
  /// gRPC libraries with assertions such as Debian's, some time for each event.
  /// A loop that is saturated and corks posts up to 64, and fewer again as the method is called later.
  int requests_per_method = 16;
  queue_limits queue{};                  ///< Bounds of a stream's write queue, unless its method has its own.
  std::size_t max_concurrent_calls = 0;  ///< Further calls get RESOURCE_EXHAUSTED at once; 0: unlimited.
  std::size_t max_receive_size = 0;      ///< Bytes of one received message; 0: gRPC's 4 MiB.
  std::size_t max_send_size = 0;         ///< Bytes of one sent message; 0: unlimited.
  /// Bytes that a stream may receive ahead of its reader; turns gRPC's own growing window off. 0: gRPC's choice.
  std::size_t stream_window = 0;
  rill::compression compression = rill::compression::unset;  ///< Of responses.
  /// What blocks a loop for so long is reported; 0: nothing is. See `server::on_error`.
  std::chrono::nanoseconds stall_threshold = default_stall_threshold;
  /// How long what a saturated loop sends may wait for what follows on its connection, so that they leave in one
  /// segment; a handler that blocks its loop can make it longer. A loop is saturated while 32 events are ready at once.
  /// Works over TCP, on Linux, with gRPC 1.51; elsewhere nothing waits. 0: nothing does.
  std::chrono::nanoseconds corking = std::chrono::microseconds{200};
};

class server_engine final : public rill::server_engine {
 public:
  using builder_hook = std::function<void(grpc::ServerBuilder&)>;

  explicit server_engine(server_options options = {}) : options_{options} {
    if (options.loops < 0) throw usage_error{"rill: a server cannot have a negative number of loops"};
    if (options.requests_per_method < 1) throw usage_error{"rill: requests_per_method must be at least 1"};
  }
  ~server_engine() override {
    drain();
    stop(std::chrono::nanoseconds{0});
  }

  /// Adds an address, before `start`. Null credentials: insecure.
  void listen(std::string address, std::shared_ptr<grpc::ServerCredentials> credentials = nullptr) {
    if (server_ != nullptr) throw usage_error{"rill: listen must come before the server starts"};
    listeners_.push_back({std::move(address), std::move(credentials), 0});
  }
  /// Calls `hook` with the builder just before the server is built.
  void configure(builder_hook hook) { hooks_.push_back(std::move(hook)); }
  /// Who is told of what blocks a loop, unless `stall_threshold` is zero; before `start`.
  void on_stall(stall_hook hook) { stall_hook_ = std::move(hook); }
  /// The port of an address, after `start`. *Throws*: `std::out_of_range`.
  [[nodiscard]] int port(std::size_t index = 0) const {
    if (index >= listeners_.size())
      throw std::out_of_range{"rill: port() of an address that was not listened on"};
    return listeners_[index].port;
  }
  [[nodiscard]] grpc::Server* native() noexcept { return server_.get(); }
  [[nodiscard]] const server_options& options() const noexcept { return options_; }

  void start(std::span<const method_entry> methods) override {
    if (server_ != nullptr || stopped_) throw usage_error{"rill: a server can be started once"};
    service_.add(methods);
    grpc::ServerBuilder builder;
    set_up(builder);
    server_ = builder.BuildAndStart();
    for (const listener& one : listeners_) {
      if (server_ != nullptr && (one.port > 0 || is_portless(one.address))) continue;
      const std::string address = one.address;
      give_up();
      throw std::runtime_error{"rill: cannot listen on \"" + address +
                               "\": the address is unknown or in use, or its credentials are not valid"};
    }
    if (server_ == nullptr) {
      give_up();
      throw std::runtime_error{"rill: gRPC could not build the server; see its log"};
    }
    accepting_ = loops_.size();
    for (loop_calls& one : loops_) one.post_requests();
    for (loop_calls& one : loops_) one.loop().start();
    watch_for_stalls();
  }
  void drain() noexcept override {
    {
      // Whoever comes second finds the thread started: it may be about to join it.
      const std::lock_guard held{idle_mutex_};
      if (server_ == nullptr || stopping_.exchange(true)) return;
      refuser_ = start_thread([](void* self) { static_cast<server_engine*>(self)->refuse(); }, this);
    }
    draining_.cancel(cancel_reason::shutdown);
  }
  /// On one of the server's own loops it only begins to stop: a loop cannot wait for itself.
  void stop(std::chrono::nanoseconds grace) noexcept override {
    drain();
    if (runs_here()) return;
    const std::lock_guard one_at_a_time{stop_mutex_};
    if (server_ == nullptr || stopped_) return;
    stopped_ = true;
    if (wait_for_calls(grace)) {
      if (grace.count() > 0) wait_for_disconnection();
    } else {
      for (loop_calls& one : loops_) one.trip_calls();
      wait_for_calls(unwinding_time);
      grpc_server_cancel_all_calls(server_->c_server());
      wait_for_calls();
    }
    grpc_server_cancel_all_calls(server_->c_server());
    refuser_.join();
    for (loop_calls& one : loops_) one.loop().stop();
    stalls_.stop();
  }

 private:
  /// How long handlers may answer after their tokens were tripped, before their calls are cut.
  static constexpr std::chrono::nanoseconds unwinding_time = std::chrono::milliseconds{500};
  /// How long clients may take to close their connections once their last calls were answered.
  static constexpr std::chrono::nanoseconds farewell_time = std::chrono::milliseconds{500};

  /// Beyond this there is no limit, and moments could overflow.
  static constexpr std::chrono::nanoseconds a_year = std::chrono::hours{24 * 365};

  struct listener {
    std::string address;
    std::shared_ptr<grpc::ServerCredentials> credentials;
    int port = 0;
  };

  /// A service whose methods are known at run time only.
  class service final : public grpc::Service {
   public:
    void add(std::span<const method_entry> methods) {
      using grpc::internal::RpcMethod;
      for (const method_entry& one : methods) {
        const auto type = one.kind == method_kind::unary              ? RpcMethod::NORMAL_RPC
                          : one.kind == method_kind::server_streaming ? RpcMethod::SERVER_STREAMING
                          : one.kind == method_kind::client_streaming ? RpcMethod::CLIENT_STREAMING
                                                                      : RpcMethod::BIDI_STREAMING;
        AddMethod(new grpc::internal::RpcServiceMethod{one.path, type, nullptr});
        MarkMethodRaw(static_cast<int>(methods_.size()));
        methods_.push_back(one);
      }
    }
    [[nodiscard]] const std::vector<method_entry>& methods() const noexcept { return methods_; }
    void request(std::size_t index, server_call_object& call, grpc::ServerCompletionQueue& queue) {
      const int at = static_cast<int>(index);
      switch (methods_[index].kind) {
        case method_kind::unary:
        case method_kind::server_streaming:
          RequestAsyncUnary(at, &call.context(), &call.first_message(), &call.binding(), &queue, &queue,
                            call.accepted_tag());
          break;
        default:
          RequestAsyncBidiStreaming(at, &call.context(), &call.binding(), &queue, &queue,
                                    call.accepted_tag());
      }
    }

   private:
    std::vector<method_entry> methods_;
  };

  /// What a saturated loop posts for a method: what comes at once is answered at once.
  static constexpr int saturated_requests = 64;

  /// The calls of one loop.
  class loop_calls final : public call_acceptor {
   public:
    loop_calls(server_engine& engine, std::unique_ptr<grpc::ServerCompletionQueue> queue)
        : engine_{engine}, queue_{*queue}, loop_{std::move(queue)} {}

    [[nodiscard]] event_loop& loop() noexcept { return loop_; }
    void post_requests() {
      requests_ = 1;  // this function's own
      posted_.resize(engine_.service_.methods().size());
      for (std::size_t method = 0; method < engine_.service_.methods().size(); ++method) {
        for (int i = 0; i < engine_.options_.requests_per_method; ++i)
          new server_call_object{*this, loop_, method};
      }
      request_ended();
    }
    /// *Concurrency*: any thread, once.
    void trip_calls() noexcept { loop_.post(trip_); }

    void request(std::size_t index, server_call_object& call) override {
      ++requests_;
      ++posted_[index];
      engine_.service_.request(index, call, queue_);
    }
    void accepted(std::size_t index) override {
      --posted_[index];
      if (engine_.stopping_.load(std::memory_order_relaxed)) return;
      int wanted = engine_.options_.requests_per_method;
      if (loop_.is_saturated() && wanted < saturated_requests) wanted = saturated_requests;
      for (int i = 0; i != 2 && posted_[index] < wanted; ++i) new server_call_object{*this, loop_, index};
    }
    const method_entry& entry(std::size_t index) const noexcept override {
      return engine_.service_.methods()[index];
    }
    queue_limits default_limits() const noexcept override { return engine_.options_.queue; }
    cancellation_token draining() noexcept override { return engine_.draining_.token(); }
    bool overloaded() const noexcept override {
      const std::size_t most = engine_.options_.max_concurrent_calls;
      return most != 0 && engine_.calls_.load(std::memory_order_relaxed) > most;
    }
    int socket_of(grpc_call* call) noexcept override { return engine_.sockets_->find(call); }
    void request_ended() noexcept override {
      if (--requests_ == 0) engine_.accepts_no_more();
    }
    void call_began(server_call_object& call) noexcept override {
      calls_.push_back(call);
      engine_.calls_.fetch_add(1, std::memory_order_relaxed);
      if (tripped_) call.trip(cancel_reason::shutdown);
    }
    void call_ended(server_call_object& call) noexcept override {
      static_cast<rill::detail::list_link<server_call_object>&>(call).unlink();
      engine_.call_ended();
    }

   private:
    class trip_item final : public rill::detail::work_item {
     public:
      explicit trip_item(loop_calls& owner) noexcept
          : work_item{[](work_item& item, bool) noexcept {
              loop_calls& calls = static_cast<trip_item&>(item).owner_;
              calls.tripped_ = true;
              calls.calls_.for_each([](server_call_object& call) { call.trip(cancel_reason::shutdown); });
            }},
            owner_{owner} {}

     private:
      loop_calls& owner_;
    };

    server_engine& engine_;
    grpc::ServerCompletionQueue& queue_;
    event_loop loop_;
    rill::detail::intrusive_list<server_call_object, server_call_object> calls_;
    std::vector<int> posted_;   // requests of each method
    std::size_t requests_ = 0;  // posted, and not back yet; none is posted once the server stops
    bool tripped_ = false;
    trip_item trip_{*this};
  };

  [[nodiscard]] static bool is_portless(const std::string& address) noexcept {
    return address.starts_with("unix");
  }

  void set_up(grpc::ServerBuilder& builder) {
    for (listener& one : listeners_) {
      builder.AddListeningPort(
          one.address, one.credentials != nullptr ? one.credentials : grpc::InsecureServerCredentials(),
          &one.port);
    }
    if (options_.max_receive_size != 0) {
      builder.SetMaxReceiveMessageSize(static_cast<int>(options_.max_receive_size));
    }
    if (options_.max_send_size != 0) builder.SetMaxSendMessageSize(static_cast<int>(options_.max_send_size));
    if (options_.stream_window != 0) {
      builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
      builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                                 static_cast<int>(options_.stream_window));
    }
    if (options_.compression != compression::unset) {
      builder.SetDefaultCompressionAlgorithm(algorithm_of(options_.compression));
    }
    // Two servers must not share a port silently.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.RegisterService(&service_);
    const int loops =
        options_.loops != 0 ? options_.loops : static_cast<int>(std::thread::hardware_concurrency());
    for (int i = 0; i < (loops > 0 ? loops : 1); ++i) {
      loops_.emplace_back(*this, builder.AddCompletionQueue());
    }
    if (cq::can_cork && options_.corking.count() > 0) {
      sockets_ = peer_sockets::make();
      sockets_->add_to(builder);
      for (loop_calls& one : loops_) one.loop().use_corking(options_.corking.count());
    }
    for (const builder_hook& hook : hooks_) hook(builder);
  }
  void watch_for_stalls() {
    if (options_.stall_threshold.count() <= 0 || !stall_hook_) return;
    for (loop_calls& one : loops_) stalls_.add(one.loop().pulse());
    stalls_.start(options_.stall_threshold, stall_hook_);
  }
  /// After a server that could not be built.
  void give_up() noexcept {
    if (server_ != nullptr) server_->Shutdown(gpr_now(GPR_CLOCK_MONOTONIC));
    for (loop_calls& one : loops_) one.loop().stop();
    loops_.clear();
    server_.reset();
    stopped_ = true;
  }

  [[nodiscard]] bool runs_here() noexcept {
    event_loop* const here = event_loop::current();
    for (loop_calls& one : loops_) {
      if (&one.loop() == here) return true;
    }
    return false;
  }
  void call_ended() noexcept {
    if (stopping_.load(std::memory_order_relaxed)) ended_late_.store(true);
    if (calls_.fetch_sub(1) != 1 || !stopping_.load()) return;
    const std::lock_guard held{idle_mutex_};
    idle_.notify_all();
  }
  /// A loop has no posted request left, so every call that it will ever have has begun.
  void accepts_no_more() noexcept {
    const std::lock_guard held{idle_mutex_};
    --accepting_;
    idle_.notify_all();
  }
  [[nodiscard]] bool no_calls() const noexcept { return accepting_ == 0 && calls_.load() == 0; }
  bool wait_for_calls(std::chrono::nanoseconds most) noexcept {
    if (most > a_year) {
      wait_for_calls();
      return true;
    }
    return wait_for(&server_engine::no_calls, most);
  }
  void wait_for_calls() noexcept {
    std::unique_lock held{idle_mutex_};
    while (!no_calls()) idle_.wait(held);
  }
  /// Whether `holds` came true before `most` had passed.
  bool wait_for(bool (server_engine::*holds)() const noexcept, std::chrono::nanoseconds most) noexcept {
    const auto until = std::chrono::steady_clock::now() + most;
    std::unique_lock held{idle_mutex_};
    while (!(this->*holds)()) {
      if (idle_.wait_until(held, until) == std::cv_status::timeout) return (this->*holds)();
    }
    return true;
  }

  /// Gives clients a moment to go, once no call is left.
  ///
  /// A connection that is cut while its client still sends is reset, and the client loses answers that it has not read.
  /// A client that gRPC has told to go away makes no more calls and says so; after that gRPC ends the connection in order.
  /// An idle client may be slow to say it, and has nothing to lose.
  void wait_for_disconnection() noexcept {
    if (ended_late_.load()) wait_for(&server_engine::disconnected, farewell_time);
  }
  [[nodiscard]] bool disconnected() const noexcept { return disconnected_; }
  /// On a thread of its own: refuses new calls, and returns when no connection is left, which stop() sees to once every
  /// call has ended.
  void refuse() {
    server_->Shutdown(gpr_inf_future(GPR_CLOCK_MONOTONIC));
    const std::lock_guard held{idle_mutex_};
    disconnected_ = true;
    idle_.notify_all();
  }

  server_options options_;
  std::vector<listener> listeners_;
  std::vector<builder_hook> hooks_;
  service service_;
  cancellation_source draining_;
  std::atomic<bool> stopping_{false};
  bool stopped_ = false;
  std::mutex stop_mutex_;
  std::atomic<std::size_t> calls_{0};
  std::atomic<bool> ended_late_{false};  // a call ended while the server stopped
  std::mutex idle_mutex_;
  std::condition_variable idle_;
  peer_sockets::reference sockets_;
  bool disconnected_ = false;  // no connection is left
  std::size_t accepting_ = 0;  // loops with posted requests
  std::list<loop_calls> loops_;
  std::unique_ptr<grpc::Server> server_;  // goes before its queues
  std::thread refuser_;
  stall_hook stall_hook_;
  stall_watch stalls_;
};

}  // namespace rill::cq
