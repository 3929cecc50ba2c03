// executor_home: a home on an Asio executor. What is posted to it runs on the executor, one thing at a time.
#pragma once

#include "rill/asio/detail/serial_executor.hpp"
#include "rill/coro/detail/intrusive.hpp"
#include "rill/coro/detail/root.hpp"
#include "rill/coro/detail/run_loop.hpp"
#include "rill/coro/detail/timer_heap.hpp"
#include "rill/coro/home_lease.hpp"
#include "rill/coro/scheduler.hpp"

#include <asio/error_code.hpp>
#include <asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace rill::detail {

class home_service;

/// Lives while somebody has leased it, and while something of it is with the executor; as long as it lives it counts as
/// outstanding work. Its context's destruction closes it: what is suspended on it is freed.
///
/// *Concurrency*: `post` from any thread; the leases may be given back on any thread.
class executor_home final : public scheduler, public list_link<executor_home> {
 public:
  /// *Throws*: `std::bad_alloc`.
  static home_lease lease(::asio::any_io_executor serial);

  void post(work_item& item) noexcept override {
    std::unique_lock held{mutex_};
    if (closed_) {
      held.unlock();
      item.invoke(item, false);
      return;
    }
    posted_.push(item);
    // Under the lock, so that the context is still there.
    if (!std::exchange(scheduled_, true)) schedule();
  }
  [[nodiscard]] std::int64_t now() const noexcept override { return steady_now(); }
  void add_timer(timer_node& node) noexcept override {
    timers_.add(node);
    arm_timer();
  }
  void cancel_timer(timer_node& node) noexcept override { timers_.remove(node); }

  /// Runs one function at a time, and is the home's own.
  [[nodiscard]] const ::asio::any_io_executor& executor() const noexcept { return executor_; }

 private:
  friend class home_service;

  /// One run of the home, on its way through the executor; destroyed instead of called if the context is.
  class runner {
   public:
    explicit runner(executor_home& home) noexcept : home_{&home} { home.retain(); }
    runner(runner&& other) noexcept : home_{std::exchange(other.home_, nullptr)} {}
    runner& operator=(runner&&) = delete;
    ~runner() {
      if (home_ != nullptr) home_->release();
    }
    void operator()() const noexcept { home_->run(); }

   private:
    executor_home* home_;
  };
  /// One wait of the timer for `due`.
  class timer_wait {
   public:
    timer_wait(executor_home& home, std::int64_t due) noexcept : home_{&home}, due_{due} { home.retain(); }
    timer_wait(timer_wait&& other) noexcept : home_{std::exchange(other.home_, nullptr)}, due_{other.due_} {}
    timer_wait& operator=(timer_wait&&) = delete;
    ~timer_wait() {
      if (home_ != nullptr) home_->release();
    }
    void operator()(const ::asio::error_code& failed) const noexcept {
      if (!failed) home_->timer_fired(due_);
    }

   private:
    executor_home* home_;
    std::int64_t due_;
  };
  struct retirement : work_item {
    explicit retirement(executor_home& of) noexcept : work_item{&run}, home{of} {}
    static void run(work_item& item, bool on_home) noexcept {
      executor_home& self = static_cast<retirement&>(item).home;
      if (on_home) self.stop_timer();
      self.release();
    }
    executor_home& home;
  };

  executor_home(::asio::any_io_executor serial, home_service& service)
      : executor_{std::move(serial)},
        post_executor_{::asio::prefer(::asio::require(executor_, ::asio::execution::blocking.never),
                                      ::asio::execution::outstanding_work.tracked)},
        service_{service} {}
  ~executor_home();

  void retain() noexcept { holds_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (holds_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  void schedule() noexcept { post_executor_.execute(runner{*this}); }
  void run() noexcept {
    for (unsigned left = 64; left != 0; --left) {
      work_item* item = ready_.pop();
      if (item == nullptr) {
        const std::lock_guard held{mutex_};
        ready_.splice(posted_);
        item = ready_.pop();
        if (item == nullptr) {
          scheduled_ = false;
          return;
        }
      }
      item->invoke(*item, true);
    }
    const std::lock_guard held{mutex_};
    if (!closed_) schedule();
  }

  // The timer is armed for the earliest due time or for an earlier one: a timeout that did not pass costs nothing.
  void arm_timer() noexcept {
    const std::int64_t due = timers_.next_due();
    if (due >= armed_for_) return;
    armed_for_ = due;
    if (!timer_) timer_.emplace(executor_);
    timer_->expires_at(std::chrono::steady_clock::time_point{
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::nanoseconds{due})});
    timer_->async_wait(timer_wait{*this, due});
  }
  void timer_fired(std::int64_t due) noexcept {
    if (due != armed_for_) return;
    armed_for_ = never;
    const std::int64_t time = now();
    while (timer_node* node = timers_.pop_due(time)) node->fire(*node);
    arm_timer();
  }
  void stop_timer() noexcept {
    armed_for_ = never;
    if (timer_) timer_->cancel();
  }

  /// The context is being destroyed, and runs nothing any more.
  void close() noexcept {
    intrusive_queue<work_item> dropped;
    {
      const std::lock_guard held{mutex_};
      closed_ = true;
      dropped.splice(ready_);
      dropped.splice(posted_);
    }
    while (work_item* item = dropped.pop()) item->invoke(*item, false);
    destroy_roots();
    timer_.reset();
    post_executor_ = {};
    executor_ = {};
  }

  ::asio::any_io_executor executor_;
  ::asio::any_io_executor post_executor_;
  home_service& service_;
  std::atomic<std::uint32_t> holds_{1};  // the lease, each runner and each wait of the timer
  retirement retirement_{*this};

  std::mutex mutex_;
  bool closed_ = false;
  bool scheduled_ = false;  // a runner is with the executor, or runs
  intrusive_queue<work_item> posted_;

  // On the executor only.
  intrusive_queue<work_item> ready_;
  timer_heap timers_;
  std::optional<::asio::steady_timer> timer_;
  std::int64_t armed_for_ = never;
};

/// Makes homes on one executor for as long as its context lives.
/// *Concurrency*: any thread.
class home_source {
 public:
  explicit home_source(::asio::any_io_executor executor) : executor_{std::move(executor)} {}

  /// *Throws*: `operation_cancelled` once the context has been destroyed.
  home_lease lease() {
    const std::lock_guard held{mutex_};
    if (!open_) throw operation_cancelled{cancel_reason::shutdown};
    return executor_home::lease(serial_executor(executor_));
  }
  void close() noexcept {
    const std::lock_guard held{mutex_};
    open_ = false;
    executor_ = {};
  }

 private:
  std::mutex mutex_;
  bool open_ = true;
  ::asio::any_io_executor executor_;
};

/// The homes of one context. The context destroys it, and it closes them.
class home_service final : public ::asio::execution_context::service {
 public:
  using key_type = home_service;
  static inline ::asio::execution_context::id id;

  explicit home_service(::asio::execution_context& context) : service{context} {}

  static home_service& of(const ::asio::any_io_executor& executor) {
    return ::asio::use_service<home_service>(::asio::query(executor, ::asio::execution::context));
  }
  std::shared_ptr<home_source> source(const ::asio::any_io_executor& executor) {
    auto made = std::make_shared<home_source>(executor);
    const std::lock_guard held{mutex_};
    std::erase_if(sources_, [](const std::weak_ptr<home_source>& one) { return one.expired(); });
    sources_.push_back(made);
    return made;
  }
  void add(executor_home& home) {
    const std::lock_guard held{mutex_};
    homes_.push_back(home);
  }
  void remove(executor_home& home) noexcept {
    const std::lock_guard held{mutex_};
    home.unlink();
  }

 private:
  void shutdown() noexcept override {
    std::vector<std::weak_ptr<home_source>> sources;
    {
      const std::lock_guard held{mutex_};
      sources.swap(sources_);
    }
    for (const std::weak_ptr<home_source>& one : sources) {
      if (const std::shared_ptr<home_source> source = one.lock()) source->close();
    }
    for (;;) {
      executor_home* home = nullptr;
      {
        const std::lock_guard held{mutex_};
        home = homes_.pop_front();
        if (home == nullptr) return;
        home->retain();
      }
      home->close();
      home->release();
    }
  }

  std::mutex mutex_;
  intrusive_list<executor_home, executor_home> homes_;
  std::vector<std::weak_ptr<home_source>> sources_;
};

inline executor_home::~executor_home() {
  if (!closed_) service_.remove(*this);
}

inline home_lease executor_home::lease(::asio::any_io_executor serial) {
  home_service& service = home_service::of(serial);
  auto* home = new executor_home{std::move(serial), service};
  service.add(*home);
  return {*home, [](scheduler& self) noexcept {
            auto& retired = static_cast<executor_home&>(self);
            retired.post(retired.retirement_);
          }};
}

}  // namespace rill::detail
