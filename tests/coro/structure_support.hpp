// What the tests of tasks and their combinators share: a home whose clock jumps, a witness of destruction, the contexts
// that tasks see.
#pragma once

#include "rill/coro/detail/run_loop.hpp"
#include "rill/coro/event.hpp"
#include "rill/coro/spawn.hpp"
#include "rill/coro/sync_wait.hpp"
#include "rill/coro/task.hpp"
#include "rill/coro/this_context.hpp"

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace rill_test {

/// A home on this thread whose clock stands still while there is something to do, and then jumps to the next timer.
/// It may be destroyed with tasks suspended on it.
class jumping_loop final : public rill::detail::run_loop {
 public:
  [[nodiscard]] std::int64_t now() const noexcept override { return now_; }

  void post(rill::detail::work_item& item) noexcept override {
    posted_.fetch_add(1);
    run_loop::post(item);
  }

  /// Starts a task, or a callable that makes one.
  template <class Work>
  void spawn(Work&& work, rill::cancellation_token token = {}) {
    rill::spawn(*this, std::forward<Work>(work), token);
  }
  /// Runs what is ready, and what that makes ready, without letting time pass.
  void turn() {
    unsigned before = 0;
    do {
      before = posted_.load();
      bool reached = false;
      mark last{reached};
      post(last);
      run_until(reached);
    } while (posted_.load() != before + 1);
  }
  /// Runs `work` and what else is here until `work` has ended.
  template <class A>
  auto run(A work, rill::task_context context = {}) {
    return rill::detail::run_on(*this, std::move(work), context);
  }

 protected:
  void park(std::int64_t due) noexcept override { now_ = due; }

 private:
  struct mark : rill::detail::work_item {
    explicit mark(bool& to) noexcept : work_item{&reach}, reached{to} {}
    static void reach(work_item& item, bool) noexcept { static_cast<mark&>(item).reached = true; }
    bool& reached;
  };

  std::int64_t now_ = 1'000'000'000;
  std::atomic<unsigned> posted_{0};
};

/// Writes its name down when it is destroyed.
class witness {
 public:
  witness(std::vector<std::string>& log, std::string name) : log_{&log}, name_{std::move(name)} {}
  witness(witness&& other) noexcept
      : log_{std::exchange(other.log_, nullptr)}, name_{std::move(other.name_)} {}
  witness& operator=(witness&&) = delete;
  ~witness() {
    if (log_ != nullptr) log_->push_back("~" + name_);
  }

 private:
  std::vector<std::string>* log_;
  std::string name_;
};

using log = std::vector<std::string>;

/// Waits for `gate`, and writes down how that ended.
inline rill::task<> wait_and_log(rill::event& gate, log& to, std::string name) {
  witness gone{to, name};
  try {
    co_await gate.wait();
    to.push_back(name + " done");
  } catch (const rill::operation_cancelled& why) {
    to.push_back(name + " cancelled: " + why.what());
    throw;
  }
}

inline rill::task<int> value_after(rill::event& gate, int value) {
  co_await gate.wait();
  co_return value;
}

inline rill::task<> fail_after(rill::event& gate, std::string what) {
  co_await gate.wait();
  throw std::runtime_error{what};
}

inline rill::task<int> ready_value(int value) { co_return value; }
inline rill::task<> ready_nothing() { co_return; }
inline rill::task<int> ready_failure(std::string what) {
  if (!what.empty()) throw std::runtime_error{what};
  co_return 0;
}

/// The context that a child sees, copied.
inline rill::task<rill::task_context> seen_context() { co_return co_await rill::this_context(); }

/// Chains of awaits may be as deep as this: without tail calls each takes some stack.
inline constexpr int deep = rill::detail::tail_transfer ? 200'000 : 2'000;

}  // namespace rill_test
