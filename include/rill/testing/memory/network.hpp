// What all calls of one in-memory engine share: the lock, the state of the connection, and one end of a call.
#pragma once

#include "rill/coro/cancellation.hpp"
#include "rill/coro/detail/intrusive.hpp"
#include "rill/coro/detail/timer_heap.hpp"
#include "rill/coro/scheduler.hpp"
#include "rill/rpc/byte_stream.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace rill::testing {

/// Settings of an in-memory engine.
struct memory_options {
  queue_limits queue{.messages = 16, .bytes = 64 * 1024};  ///< Of a call that names none, each way.
  std::size_t window = 64 * 1024;          ///< Bytes that a reader may leave unread, each way.
  std::size_t max_receive_size = 4194304;  ///< Bytes of one message; zero: any.
  std::size_t max_send_size = 0;           ///< Bytes of one message; zero: any.
};

namespace memory {

class link;

/// Shared by an engine, its connectors and its calls. The mutex guards everything but the sources.
struct network {
  network(scheduler& server_home, const memory_options& with) : home{server_home}, options{with} {}

  std::mutex mutex;
  std::condition_variable idle;
  scheduler& home;
  const memory_options options;
  std::unordered_map<std::string_view, const method_entry*> methods;
  bool accepting = false;
  bool down = false;    // nobody can connect
  bool frozen = false;  // nothing arrives
  bool server_stalled = false;
  bool client_stalled = false;
  std::int64_t delay = 0;
  rill::detail::intrusive_list<link> links;
  std::size_t calls = 0;                         // that have not ended on the server's side
  rill::detail::work_item* when_idle = nullptr;  // posted to `home` when `calls` becomes zero
  std::size_t posting = 0;                       // ends that threads are posting to their homes
  cancellation_source draining;
};

/// One end of a call: its home, its waiters and timers, and a step that runs on the home when something has happened.
class end : public rill::detail::work_item {
 public:
  enum slot : unsigned { read, room, flushed, headers, slots };

  end(link& of, scheduler& at) noexcept
      : work_item{&run_step}, call{of}, at_{at}, deadline_timer{&on_deadline}, arrival_timer{&on_arrival} {
    deadline_timer.owner_end = arrival_timer.owner_end = this;
  }

  link& call;
  bool posted = false;   // the step is on its way to the home
  bool gone = false;     // nobody uses this end any more
  unsigned posting = 0;  // threads that are posting the step
  stream_waiter* waiters[slots] = {};

  [[nodiscard]] scheduler& at() const noexcept { return at_; }
  [[nodiscard]] std::int64_t now() const noexcept { return at_.now(); }
  [[nodiscard]] bool waits() const noexcept {
    for (const stream_waiter* one : waiters) {
      if (one != nullptr) return true;
    }
    return false;
  }

 protected:
  struct timer : rill::detail::timer_node {
    using timer_node::timer_node;
    end* owner_end = nullptr;
  };

  ~end() = default;

  /// On the home: looks at what has happened, and fires the waiters that it answers.
  virtual void step() noexcept = 0;
  /// In place of `step`, when the home is being destroyed.
  virtual void abandon() noexcept = 0;
  virtual void deadline_passed() noexcept = 0;
  /// With the lock held: whether the waiter in `which` has its answer.
  [[nodiscard]] virtual bool answered(slot which) noexcept = 0;

  void set_timer(timer& which, std::int64_t due) noexcept {
    at_.cancel_timer(which);
    if (due == rill::detail::never) return;
    which.due = due;
    at_.add_timer(which);
  }
  void cancel_timers() noexcept {
    at_.cancel_timer(deadline_timer);
    at_.cancel_timer(arrival_timer);
  }
  inline void fire_waiters() noexcept;

 private:
  static void run_step(work_item& item, bool run) noexcept;
  static void on_deadline(rill::detail::timer_node& node) noexcept {
    static_cast<timer&>(node).owner_end->deadline_passed();
  }
  static void on_arrival(rill::detail::timer_node& node) noexcept;

  scheduler& at_;

 protected:
  timer deadline_timer;
  timer arrival_timer;
};

/// Holds the lock, and posts what it woke after it has let go of it.
class section {
 public:
  explicit section(network& of) noexcept : network_{of} { network_.mutex.lock(); }
  section(const section&) = delete;
  section& operator=(const section&) = delete;
  ~section();

  void wake(end& which) noexcept;
  /// The engine has no call any more.
  void became_idle() noexcept { idle_ = true; }

 private:
  network& network_;
  rill::detail::intrusive_queue<rill::detail::work_item> woken_;
  bool idle_ = false;
};

}  // namespace memory
}  // namespace rill::testing
