// blocking_pool: threads for work that blocks, as many as there is work for, up to a bound.
// Nothing here needs gRPC.
#pragma once

#include "rill/coro/cancellation.hpp"
#include "rill/coro/detail/intrusive.hpp"
#include "rill/coro/errors.hpp"
#include "rill/coro/scheduler.hpp"
#include "rill/coro/task_context.hpp"

#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

namespace rill {

class blocking_pool;

/// Settings of a pool of threads that may block.
struct blocking_options {
  int threads = 32;  ///< At most so many; further work waits its turn.
  std::chrono::nanoseconds idle = std::chrono::seconds{10};  ///< How long a thread without work is kept.
};

namespace detail {

/// One callable on its way through a pool. The pool's mutex guards it; its last touch is under that.
///
/// States: `fresh` before it is queued; `queued` for a thread; `running` on one; `ended` and `withdrawn` are final, and
/// the resumption has been posted, except that a job that was withdrawn while fresh never suspends.
class blocking_job : public list_link<>, private work_item, private cancellation_hook {
 public:
  enum class state : unsigned char { fresh, queued, running, ended, withdrawn };

  blocking_job(const blocking_job&) = delete;
  blocking_job& operator=(const blocking_job&) = delete;

 protected:
  explicit blocking_job(blocking_pool& on) noexcept
      : work_item{&resume}, cancellation_hook{&on_cancel}, pool_{on} {}
  ~blocking_job() = default;

  /// False if it was cancelled before it could be queued.
  [[nodiscard]] bool submit(const task_context& context, std::coroutine_handle<> continuation);
  /// After resumption: nobody refers to the job any more. False if it was withdrawn.
  [[nodiscard]] bool leave() noexcept;
  /// In place of a resumption, by the destructor: takes the job back, or waits for it.
  void abandon() noexcept;

 private:
  friend class rill::blocking_pool;

  virtual void call() noexcept = 0;

  static void resume(work_item& item, bool run) noexcept {
    if (run) static_cast<blocking_job&>(item).continuation_.resume();
  }
  static inline void on_cancel(cancellation_hook& hook) noexcept;

  blocking_pool& pool_;
  scheduler* home_ = nullptr;
  std::coroutine_handle<> continuation_;
  state state_ = state::fresh;
};

template <class F>
class blocking_operation;

}  // namespace detail

/// Threads for work that blocks: started when there is work and no idle one, ended when they are idle for long.
///
/// *Concurrency*: every member from any thread. *Lifetime*: outlives the tasks that use it. The destructor joins the
/// threads.
class blocking_pool {
 public:
  /// *Throws*: `usage_error` if `threads` is less than 1.
  explicit blocking_pool(blocking_options options = {}) : options_{options} {
    if (options.threads < 1) throw usage_error{"rill: a blocking pool needs at least one thread"};
  }
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;
  ~blocking_pool() { stop(); }

  /// Runs `f` as `run_blocking` does, which see; needs blocking.hpp.
  template <class F>
  [[nodiscard]] detail::blocking_operation<std::decay_t<F>> run(F&& f);

  /// The threads alive now.
  [[nodiscard]] std::size_t threads() const noexcept {
    const std::lock_guard held{mutex_};
    return running_.size();
  }
  /// The pool that `run_blocking` uses. It is never destroyed; at the end of the process its threads are joined.
  [[nodiscard]] static blocking_pool& shared() {
    static blocking_pool& pool = *new blocking_pool;
    static const joiner at_exit{pool};
    return pool;
  }

 private:
  friend class detail::blocking_job;
  using job = detail::blocking_job;
  using thread_list = std::list<std::thread>;

  struct joiner {
    explicit joiner(blocking_pool& of) noexcept : pool{of} {}
    joiner(const joiner&) = delete;
    joiner& operator=(const joiner&) = delete;
    ~joiner() { pool.stop(); }
    blocking_pool& pool;
  };

  [[nodiscard]] bool submit(job& added) {
    thread_list ended;
    {
      const std::lock_guard held{mutex_};
      if (stopping_) added.state_ = job::state::withdrawn;
      if (added.state_ != job::state::fresh) return false;
      queue_.push_back(added);
      ++queued_;
      if (queued_ > idle_ && running_.size() < static_cast<std::size_t>(options_.threads)) grow(added);
      added.state_ = job::state::queued;
      work_.notify_one();
      ended.swap(ended_);
    }
    for (std::thread& one : ended) one.join();
    return true;
  }
  void grow(job& wanted) {
    const auto at = running_.emplace(running_.end());
    try {
      *at = std::thread{[this, at] { serve(at); }};
    } catch (const std::system_error&) {
      running_.erase(at);
      if (!running_.empty()) return;  // the threads that there are will come to it
      take_off(wanted);
      throw;
    }
  }
  void take_off(job& queued) noexcept {
    static_cast<detail::list_link<>&>(queued).unlink();
    --queued_;
  }

  /// The job will not run, if it is not running yet. With the mutex held.
  bool withdraw(job& unwanted, bool resume) noexcept {
    if (unwanted.state_ == job::state::queued) {
      take_off(unwanted);
    } else if (unwanted.state_ != job::state::fresh) {
      return false;
    }
    const bool suspended = unwanted.state_ == job::state::queued;
    unwanted.state_ = job::state::withdrawn;
    if (suspended && resume) unwanted.home_->post(unwanted);
    return true;
  }

  void serve(thread_list::iterator self) noexcept {
    std::unique_lock held{mutex_};
    for (;;) {
      if (job* next = queue_.front()) {
        take_off(*next);
        next->state_ = job::state::running;
        held.unlock();
        next->call();
        held.lock();
        next->state_ = job::state::ended;
        next->home_->post(*next);
        finished_.notify_all();
        continue;
      }
      if (stopping_) break;
      ++idle_;
      const bool late = work_.wait_for(held, options_.idle) == std::cv_status::timeout;
      --idle_;
      if (late && queue_.empty() && !stopping_) break;
    }
    ended_.splice(ended_.end(), running_, self);
    finished_.notify_all();
  }

  void stop() noexcept {
    thread_list ended;
    {
      std::unique_lock held{mutex_};
      stopping_ = true;
      while (job* waiting = queue_.front()) static_cast<void>(withdraw(*waiting, true));
      work_.notify_all();
      finished_.wait(held, [this] { return running_.empty(); });
      ended.swap(ended_);
    }
    for (std::thread& one : ended) one.join();
  }

  const blocking_options options_;
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable finished_;
  detail::intrusive_list<job> queue_;
  std::size_t queued_ = 0;
  std::size_t idle_ = 0;
  bool stopping_ = false;
  thread_list running_;
  thread_list ended_;  // to be joined
};

namespace detail {

inline bool blocking_job::submit(const task_context& context, std::coroutine_handle<> continuation) {
  home_ = context.home;
  task = context.name;
  continuation_ = continuation;
  cancellation_hook::attach(context.token.source());
  return pool_.submit(*this);
}

inline bool blocking_job::leave() noexcept {
  cancellation_hook::detach();
  const std::lock_guard held{pool_.mutex_};
  return state_ != state::withdrawn;
}

inline void blocking_job::abandon() noexcept {
  cancellation_hook::detach();
  std::unique_lock held{pool_.mutex_};
  if (pool_.withdraw(*this, false)) return;
  pool_.finished_.wait(held, [this] { return state_ != state::running; });
}

inline void blocking_job::on_cancel(cancellation_hook& hook) noexcept {
  auto& self = static_cast<blocking_job&>(hook);
  const std::lock_guard held{self.pool_.mutex_};
  static_cast<void>(self.pool_.withdraw(self, true));
}

}  // namespace detail

}  // namespace rill
