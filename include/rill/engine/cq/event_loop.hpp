// event_loop: a home that owns a completion queue and the thread that polls it.
#pragma once

#include "rill/coro/detail/root.hpp"
#include "rill/coro/detail/run_loop.hpp"
#include "rill/coro/detail/spin_lock.hpp"
#include "rill/coro/detail/timer_heap.hpp"
#include "rill/coro/scheduler.hpp"
#include "rill/engine/cq/core.hpp"
#include "rill/engine/cq/cork.hpp"
#include "rill/engine/cq/loop_pulse.hpp"
#include "rill/engine/cq/thread.hpp"

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace rill::cq {

/// Something to do on a loop once the work item that is running has returned: flush a stream's writes.
struct deferred : rill::detail::list_link<> {
  using function = void (*)(deferred& self) noexcept;
  explicit deferred(function f) noexcept : run{f} {}
  function run;
};

/// One thread, one completion queue, and every call and task that lives there.
///
/// *Concurrency*: `post` and `stop` from any thread, the rest on the loop's own.
/// *Lifetime*: the destructor stops the loop and waits for its thread; it must not run on that thread.
class event_loop final : public scheduler {
 public:
  event_loop() : event_loop{std::make_unique<grpc::CompletionQueue>()} {}
  /// For a server's queue.
  explicit event_loop(std::unique_ptr<grpc::CompletionQueue> queue) : queue_{std::move(queue)} {}
  ~event_loop() { stop(); }

  /// Begins to poll, on a thread of its own.
  void start() {
    thread_ = start_thread([](void* self) { static_cast<event_loop*>(self)->run(); }, this);
  }
  /// Waits until the calls on this loop have ended, frees the tasks that are left and ends the thread.
  void stop() noexcept {
    if (!thread_.joinable()) {
      if (!polled_) shut_queue();
      return;
    }
    post(stop_request_);
    thread_.join();
  }

  void post(rill::detail::work_item& item) noexcept override {
    if (current_ == this) {
      if (closing_) {
        item.invoke(item, false);
      } else {
        ready_.push(item);
      }
      return;
    }
    inbox_lock_.lock();
    if (inbox_state_ == inbox_state::sealed) {
      inbox_lock_.unlock();
      item.invoke(item, false);
      return;
    }
    inbox_.push(item);
    const bool wake = std::exchange(inbox_state_, inbox_state::signalled) == inbox_state::idle;
    inbox_lock_.unlock();
    if (wake) alarm_.Set(queue_.get(), gpr_time_0(GPR_CLOCK_MONOTONIC), wake_event_.tag());
  }
  [[nodiscard]] std::int64_t now() const noexcept override { return rill::detail::steady_now(); }
  void add_timer(rill::detail::timer_node& timer) noexcept override { timers_.add(timer); }
  void cancel_timer(rill::detail::timer_node& timer) noexcept override { timers_.remove(timer); }

  /// The loop whose thread this is, or null.
  [[nodiscard]] static event_loop* current() noexcept { return current_; }
  [[nodiscard]] grpc::CompletionQueue& queue() noexcept { return *queue_; }
  /// For a watcher, and for whoever starts a task here without posting it.
  [[nodiscard]] loop_pulse& pulse() noexcept { return pulse_; }

  /// Lets the loop cork while it is saturated, for up to `longest` nanoseconds. Before `start`.
  void use_corking(std::int64_t longest) noexcept {
    corking_ = true;
    corks_.set_longest(longest);
  }
  /// Whether whoever is about to send should cork its socket first.
  [[nodiscard]] bool is_corking() const noexcept { return corks_.is_open(); }
  void cork(int socket) noexcept { corks_.cork(socket, now()); }

  /// Whether events came so fast of late that as many as make a full batch were ready at once. Only of a loop that may cork.
  [[nodiscard]] bool is_saturated() const noexcept { return saturated_; }

  /// Something was started that may complete without a look at the network, and lead to more of it.
  void count_unlooked() noexcept { ++unlooked_; }

  void defer(deferred& later) noexcept {
    if (!later.linked()) deferred_.push_back(later);
  }
  /// Like `defer`, but what is ready comes first, for a short time.
  void defer_until_idle(deferred& later, std::int64_t time) noexcept {
    later.unlink();
    if (until_idle_.empty()) idle_since_ = time;
    until_idle_.push_back(later);
  }
  /// Calls, and requests for calls, that gRPC may still give tags for: the queue outlives them.
  void hold() noexcept { holds_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept { holds_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  /// `idle`: nothing is posted, or the wake was set and taken; `signalled`: a wake is under way, and its tag will come;
  /// `sealed`: the loop has ended.
  enum class inbox_state : std::uint8_t { idle, signalled, sealed };

  void run() noexcept {
    current_ = this;
    polled_ = true;
    bool shut = false;
    for (;;) {
      run_ready();
      if (!saturated_) corks_.close();
      if (!shut && closing_ && holds_.load(std::memory_order_relaxed) == 0 && seal()) {
        queue_->Shutdown();
        shut = true;
      }
      void* tag = nullptr;
      bool ok = false;
      const gpr_timespec wait = next_wait();
      pulse_.rest();
      const auto got = queue_->AsyncNext(&tag, &ok, wait);
      if (got == grpc::CompletionQueue::SHUTDOWN) break;
      if (got == grpc::CompletionQueue::GOT_EVENT) {
        handle_events(tag, ok);
      } else {
        saturated_ = false;
        corks_.close();
        run_until_idle();
      }
      fire_timers();
    }
    corks_.close();
    current_ = nullptr;
  }

  void handle(void* tag, bool ok) noexcept {
    pulse_.begin(nullptr);
    event::from_tag(tag).complete(ok);
    run_deferred();
  }
  /// Handles an event that was taken, and others that are ready.
  ///
  /// gRPC looks at its sockets only when the queue is empty, and what completes at once keeps it full: a stream's writes,
  /// and what other threads post. So after some of those events are taken, but not handled, until there is none. The
  /// first time that the queue says so it may only have taken back a wake-up, without a look at the sockets; the second
  /// time it has looked. Not more often: what is read early has left the processor's cache when its turn comes.
  ///
  /// A loop that may cork takes a batch now and then. When it is full the loop is saturated: it takes one each time, and
  /// corks, until there are fewer. Posted work and timers do not wait for a whole batch.
  void handle_events(void* tag, bool ok) noexcept {
    const bool look = unlooked_ >= network_turn;
    const bool drain = corking_ && (saturated_ || ++handled_ % drain_turn == 0);
    release_late();
    if (!look && !drain) return handle(tag, ok);
    taken_.clear();
    taken_.push_back({tag, ok});
    if (look) {
      unlooked_ = 0;
      corks_.release();  // this may take long
      take_events(most_taken, 2);
    } else {
      take_events(saturated_batch, 1);
    }
    saturated_ = corking_ && taken_.size() >= full_batch;
    if (saturated_) {
      corks_.open();
    } else {
      corks_.close();
    }
    for (std::size_t i = 0; i < taken_.size(); ++i) {
      if (i != 0 && i % full_batch == 0) {
        collect_posted();
        run_ready();
        fire_timers();
      }
      release_late();
      handle(taken_[i].first, taken_[i].second);
    }
  }
  /// Takes events until there are `most`, or until the queue has said `empty` times that there is none.
  void take_events(std::size_t most, int empty) noexcept {
    while (empty != 0 && taken_.size() < most) {
      void* tag = nullptr;
      bool ok = false;
      if (queue_->AsyncNext(&tag, &ok, gpr_time_0(GPR_CLOCK_MONOTONIC)) == grpc::CompletionQueue::GOT_EVENT) {
        taken_.push_back({tag, ok});
      } else {
        --empty;
      }
    }
  }
  /// What is about to run may take long, and what waits to be sent must not wait for it for too long.
  void release_late() noexcept {
    if (!corks_.any() && until_idle_.empty()) return;
    const std::int64_t time = now();
    if (corks_.any()) corks_.release_if_late(time);
    if (!until_idle_.empty() && time - idle_since_ >= longest_until_idle) run_until_idle();
  }

  void run_ready() noexcept {
    for (unsigned left = 64; left != 0; --left) {
      rill::detail::work_item* item = ready_.pop();
      if (item == nullptr) break;
      pulse_.begin(item->task);
      if (corking_ && ready_.size() >= full_batch - 1) corks_.open();
      release_late();
      item->invoke(*item, true);
      run_deferred();
    }
    if (stop_seen_ && !closing_) close();
  }
  void run_deferred() noexcept {
    while (deferred* later = deferred_.pop_front()) later->run(*later);
  }
  void run_until_idle() noexcept {
    while (deferred* later = until_idle_.pop_front()) later->run(*later);
  }
  void fire_timers() noexcept {
    if (timers_.empty()) return;
    const std::int64_t time = now();
    while (rill::detail::timer_node* timer = timers_.pop_due(time)) {
      pulse_.begin(nullptr);
      timer->fire(*timer);
      run_deferred();
    }
  }
  [[nodiscard]] gpr_timespec next_wait() noexcept {
    if (!ready_.empty() || corks_.any() || !until_idle_.empty()) return gpr_time_0(GPR_CLOCK_MONOTONIC);
    return time_of(timers_.next_due());
  }

  void take_inbox() noexcept {
    rill::detail::guard held{inbox_lock_};
    inbox_state_ = inbox_state::idle;
    ready_.splice(inbox_);
  }
  /// What other threads have posted, before the wake-up that is on its way.
  void collect_posted() noexcept {
    if (closing_) return drop_posted();
    rill::detail::guard held{inbox_lock_};
    ready_.splice(inbox_);
  }
  /// From now on nothing that is posted runs; the tasks that are left are freed, which cancels their calls.
  void close() noexcept {
    closing_ = true;
    drop_posted();
    destroy_roots();
    run_deferred();
  }
  void drop_posted() noexcept {
    {
      rill::detail::guard held{inbox_lock_};
      ready_.splice(inbox_);
    }
    while (rill::detail::work_item* item = ready_.pop()) item->invoke(*item, false);
  }
  /// False while a wake is under way: its tag must come first.
  [[nodiscard]] bool seal() noexcept {
    {
      rill::detail::guard held{inbox_lock_};
      if (inbox_state_ == inbox_state::signalled) return false;
      inbox_state_ = inbox_state::sealed;
    }
    drop_posted();
    return true;
  }
  void shut_queue() noexcept {
    polled_ = true;
    static_cast<void>(seal());
    queue_->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) event::from_tag(tag).complete(ok);
  }

  static inline constinit thread_local event_loop* current_ = nullptr;

  static constexpr unsigned network_turn = 64;
  static constexpr unsigned drain_turn = 64;
  static constexpr std::size_t most_taken = 4096;
  static constexpr std::size_t full_batch = 32;
  static constexpr std::size_t saturated_batch = 128;
  static constexpr std::int64_t longest_until_idle = 50'000;

  std::unique_ptr<grpc::CompletionQueue> queue_;
  std::thread thread_;
  rill::detail::intrusive_queue<rill::detail::work_item> ready_;
  rill::detail::intrusive_list<deferred> deferred_;
  rill::detail::intrusive_list<deferred> until_idle_;
  std::int64_t idle_since_ = 0;  // when the first of them was deferred
  rill::detail::timer_heap timers_;
  std::atomic<std::size_t> holds_{0};
  std::vector<std::pair<void*, bool>> taken_;
  corked_sockets corks_;
  unsigned handled_ = 0;
  loop_pulse pulse_;
  unsigned unlooked_ = 0;  // what may have completed at once since the last look at the network
  bool corking_ = false;
  bool saturated_ = false;  // the last batch was full
  bool polled_ = false;     // the loop has begun to run, or will never
  bool stop_seen_ = false;  // the stop request has come through the inbox
  bool closing_ = false;

  rill::detail::spin_lock inbox_lock_;
  inbox_state inbox_state_ = inbox_state::idle;
  rill::detail::intrusive_queue<rill::detail::work_item> inbox_;
  grpc::Alarm alarm_;

  class stop_item : public rill::detail::work_item {
   public:
    explicit stop_item(event_loop& loop) noexcept
        : work_item{[](work_item& item, bool) noexcept {
            static_cast<stop_item&>(item).loop_.stop_seen_ = true;
          }},
          loop_{loop} {}

   private:
    event_loop& loop_;
  };
  stop_item stop_request_{*this};
  event wake_event_{[](void* self, bool) noexcept {
                      auto& loop = *static_cast<event_loop*>(self);
                      loop.count_unlooked();
                      loop.take_inbox();
                      if (loop.closing_) loop.drop_posted();
                    },
                    this};
};

}  // namespace rill::cq
