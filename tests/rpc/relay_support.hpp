// What the relay's tests share: a home with a thread, a home that counts what is posted to it, a scripted call, and
// streams of strings over any byte_stream.
#pragma once

#include "rill/coro/detail/root.hpp"
#include "rill/coro/detail/run_loop.hpp"
#include "rill/coro/task.hpp"
#include "rill/rpc/byte_stream.hpp"
#include "rill/rpc/read_operation.hpp"
#include "rill/rpc/relay.hpp"
#include "rill/rpc/write_operation.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace rill_test {

/// `count`, times the environment variable RILL_STRESS.
inline int stress(int count) {
  const char* factor = std::getenv("RILL_STRESS");
  const int times = factor != nullptr ? std::atoi(factor) : 1;
  return count * (times > 0 ? times : 1);
}

/// A home with a thread of its own. Destroying it drops what is posted and frees what is suspended.
class thread_home final : public rill::scheduler {
 public:
  thread_home() : thread_{[this] { run(); }} {}
  ~thread_home() {
    {
      const std::lock_guard held{mutex_};
      stopping_ = true;
      changed_.notify_one();
    }
    thread_.join();
    while (rill::detail::work_item* item = pop()) item->invoke(*item, false);
    destroy_roots();
  }

  void post(rill::detail::work_item& item) noexcept override {
    {
      const std::lock_guard held{mutex_};
      if (!stopping_) {
        queue_.push(item);
        changed_.notify_one();
        return;
      }
    }
    item.invoke(item, false);
  }
  [[nodiscard]] std::int64_t now() const noexcept override { return rill::detail::steady_now(); }
  void add_timer(rill::detail::timer_node& timer) noexcept override { timers_.add(timer); }
  void cancel_timer(rill::detail::timer_node& timer) noexcept override { timers_.remove(timer); }
  [[nodiscard]] std::thread::id thread() const noexcept { return thread_.get_id(); }

 private:
  rill::detail::work_item* pop() {
    const std::lock_guard held{mutex_};
    return queue_.pop();
  }
  void run() {
    std::unique_lock held{mutex_};
    while (!stopping_) {
      if (rill::detail::work_item* item = queue_.pop()) {
        held.unlock();
        item->invoke(*item, true);
        held.lock();
      } else if (timers_.empty()) {
        changed_.wait(held);
      } else if (rill::detail::timer_node* due = timers_.pop_due(now())) {
        held.unlock();
        due->fire(*due);
        held.lock();
      } else {
        changed_.wait_for(held, std::chrono::nanoseconds{timers_.next_due() - now()});
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  rill::detail::intrusive_queue<rill::detail::work_item> queue_;
  rill::detail::timer_heap timers_;
  std::thread thread_;
};

/// A home on this thread that counts what comes from another home. One of several runs at a time.
class counting_home final : public rill::detail::run_loop {
 public:
  void post(rill::detail::work_item& item) noexcept override {
    if (running != this) ++from_elsewhere;
    run_loop::post(item);
  }
  /// Runs what is ready now.
  void turn() {
    counting_home* const outer = std::exchange(running, this);
    bool reached = false;
    mark last{reached};
    run_loop::post(last);
    run_until(reached);
    running = outer;
  }

  std::atomic<int> from_elsewhere{0};
  static inline constinit thread_local counting_home* running = nullptr;

 private:
  struct mark : rill::detail::work_item {
    explicit mark(bool& to) noexcept : work_item{&reach}, reached{to} {}
    static void reach(work_item& item, bool) noexcept { static_cast<mark&>(item).reached = true; }
    bool& reached;
  };
};

/// Lets two homes on this thread run until everything between them has settled.
inline void settle(counting_home& a, counting_home& b) {
  for (int i = 0; i < 20; ++i) {
    a.turn();
    b.turn();
  }
}

/// One end of a call as the typed operations see it; the messages are strings.
class side {
 public:
  explicit side(rill::byte_stream& stream) noexcept : stream_{&stream} { writes.open(stream); }

  [[nodiscard]] rill::byte_stream& stream() const noexcept { return *stream_; }
  void bind(const rill::task_context&) const noexcept {}
  void at_end() const noexcept {}
  [[noreturn]] void at_dead() const { throw rill::operation_cancelled{}; }
  [[noreturn]] void unparsable() const { std::abort(); }
  [[nodiscard]] bool write_accepted() const noexcept { return true; }
  [[nodiscard]] bool write_refused() const noexcept { return false; }

  /// Empty at the end; throws `operation_cancelled` if the call is dead.
  auto read() { return rill::detail::read_operation<std::string, side>{*this}; }
  /// False if the call is dead.
  auto write(const std::string& text) {
    return rill::detail::write_operation<std::string, side>{*this, text, {}};
  }
  auto flush() { return rill::detail::flush_operation<side>{*this}; }

  rill::detail::read_gate reads;
  rill::detail::write_gate writes;
  rill::detail::flush_wait flushes;

 private:
  rill::byte_stream* stream_;
};

/// A client call that is let go of at the end of its scope.
class client_side : public side {
 public:
  explicit client_side(rill::client_call& call) noexcept : side{call}, call_{call} {}
  client_side(const client_side&) = delete;
  client_side& operator=(const client_side&) = delete;
  ~client_side() { call_.release(); }
  [[nodiscard]] rill::client_call& call() noexcept { return call_; }

 private:
  rill::client_call& call_;
};

/// A handler for tests, and the root that runs it.
using handler = std::function<rill::task<rill::status>(rill::server_call&)>;

inline rill::detail::root serve(rill::server_call& call, handler& run) {
  try {
    const rill::status ended = co_await run(call);
    call.finish(ended);
  } catch (const rill::operation_cancelled&) {
    call.abort({rill::status_code::CANCELLED, "cancelled"});
  }
}
inline void start_handler(rill::server_call& call, void* run) noexcept {
  rill::task_context context;
  context.home = &call.home();
  context.token = call.token();
  context.deadline = call.deadline();
  serve(call, *static_cast<handler*>(run)).start(context);
}

/// A method whose handlers run on homes that `homes` gives.
struct relayed_method {
  std::function<rill::scheduler&()> homes;
  std::shared_ptr<handler> run;

  static void start(rill::server_call& call, void* self) noexcept {
    auto& method = *static_cast<relayed_method*>(self);
    rill::start_relayed(call, method.homes(), &start_handler, method.run);
  }
  [[nodiscard]] rill::method_entry entry(const char* path, rill::method_kind kind) {
    return {path, kind, {}, &start, this};
  }
};

/// A client call on a loop that does what a test tells it.
class scripted_call final : public rill::client_call {
 public:
  explicit scripted_call(rill::scheduler& home) noexcept : home_{home} {}

  // The script.
  int endless = 0;                     // bytes of each of endlessly many messages; zero: none
  std::optional<std::string> message;  // one message
  bool ends = false;                   // then the end
  int room = 1 << 30;                  // messages that are accepted
  // What happened.
  int taken = 0;
  int committed = 0;
  int half_closed = 0;
  std::size_t reserved = 0;
  int cancelled = 0;
  int released = 0;
  std::string path;

  void allow(int more) {
    room += more;
    fire(room_waiter_);
  }
  void say(std::string text, bool last) {
    message = std::move(text);
    ends = last;
    fire(read_waiter_);
  }

  rill::next_message front(rill::message_view& into) override {
    if (endless != 0) {
      text_.assign(static_cast<std::size_t>(endless), 'x');
    } else if (message) {
      text_ = *message;
    } else {
      return ends ? rill::next_message::end : rill::next_message::none;
    }
    shown_ = rill::payload{text_};
    into = shown_.view();
    return rill::next_message::message;
  }
  void pop() override { static_cast<void>(take()); }
  rill::payload take() override {
    ++taken;
    message.reset();
    return std::exchange(shown_, rill::payload{});
  }
  bool arm_read(rill::stream_waiter& waiter) override {
    if (endless != 0 || message || ends) return false;
    read_waiter_ = &waiter;
    return true;
  }
  void disarm_read() noexcept override { read_waiter_ = nullptr; }
  char* reserve(std::size_t size) override {
    reserved = size;
    return nullptr;
  }
  void commit(rill::write_options) override {}
  void commit(const rill::payload&, rill::write_options) override {
    ++committed;
    --room;
  }
  rill::stream_room has_room() override {
    if (cancelled != 0) return rill::stream_room::dead;
    return room > 0 ? rill::stream_room::yes : rill::stream_room::no;
  }
  bool arm_room(rill::stream_waiter& waiter) override {
    if (has_room() != rill::stream_room::no) return false;
    room_waiter_ = &waiter;
    return true;
  }
  void disarm_room() noexcept override { room_waiter_ = nullptr; }
  bool arm_flushed(rill::stream_waiter& waiter) override {
    if (flushed_) return false;
    flushed_waiter_ = &waiter;
    return true;
  }
  void disarm_flushed() noexcept override { flushed_waiter_ = nullptr; }
  void set_flushed(bool done) {
    flushed_ = done;
    if (done) fire(flushed_waiter_);
  }
  void cancel(rill::cancel_reason) noexcept override {
    ++cancelled;
    endless = 0;
    ends = true;
    fire(read_waiter_);
    fire(room_waiter_);
  }
  rill::scheduler& home() noexcept override { return home_; }
  std::string peer() override { return "scripted"; }
  void writes_done() override { ++half_closed; }
  bool headers_ready() const noexcept override { return headers_; }
  bool arm_headers(rill::stream_waiter& waiter) override {
    if (headers_) return false;
    headers_waiter_ = &waiter;
    return true;
  }
  void disarm_headers() noexcept override { headers_waiter_ = nullptr; }
  void set_headers() {
    headers_ = true;
    fire(headers_waiter_);
  }
  const rill::metadata& initial_metadata() override { return initial_; }
  const rill::status& final_status() override { return status_; }
  const rill::metadata& trailing_metadata() override { return trailing_; }
  void release() noexcept override {
    ++released;
    const bool waiting = read_waiter_ != nullptr || room_waiter_ != nullptr || flushed_waiter_ != nullptr ||
                         headers_waiter_ != nullptr;
    CHECK_FALSE(waiting);
  }

 private:
  static void fire(rill::stream_waiter*& waiter) {
    if (waiter == nullptr) return;
    rill::stream_waiter& one = *std::exchange(waiter, nullptr);
    one.fire(one);
  }

  rill::scheduler& home_;
  std::string text_;
  rill::payload shown_;
  bool flushed_ = true;
  bool headers_ = false;
  rill::stream_waiter* read_waiter_ = nullptr;
  rill::stream_waiter* room_waiter_ = nullptr;
  rill::stream_waiter* flushed_waiter_ = nullptr;
  rill::stream_waiter* headers_waiter_ = nullptr;
  rill::metadata initial_{{"greeting", "hello"}};
  rill::metadata trailing_{{"farewell", "bye"}};
  rill::status status_;
};

/// Opens the scripted call that it is given.
class scripted_connector final : public rill::connector {
 public:
  explicit scripted_connector(scripted_call& call) noexcept : call_{call} {}
  rill::client_call& open(const rill::call_head& head, rill::scheduler&) override {
    ++opened;
    call_.path = head.path;
    if (head.metadata != nullptr) sent_metadata = *head.metadata;
    return call_;
  }
  int opened = 0;
  rill::metadata sent_metadata;

 private:
  scripted_call& call_;
};

}  // namespace rill_test
