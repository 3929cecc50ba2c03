// What the Asio tests share: threads that run a context, and stress counts.
#pragma once

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

namespace rill_test {

/// `count`, times the environment variable RILL_STRESS.
inline int stress(int count) {
  const char* factor = std::getenv("RILL_STRESS");
  const int times = factor != nullptr ? std::atoi(factor) : 1;
  return count * (times > 0 ? times : 1);
}

/// A context that threads of its own run until it is told to stop, or is destroyed.
class running_context {
 public:
  explicit running_context(std::size_t threads = 1) {
    for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { io_.run(); });
  }
  ~running_context() { stop(); }

  [[nodiscard]] asio::io_context& io() noexcept { return io_; }
  [[nodiscard]] bool runs_here() const noexcept {
    for (const std::thread& one : threads_) {
      if (one.get_id() == std::this_thread::get_id()) return true;
    }
    return false;
  }
  /// Waits until nothing is left to be done.
  void finish() {
    work_.reset();
    join();
  }
  void stop() {
    io_.stop();
    join();
  }

 private:
  void join() {
    for (std::thread& one : std::exchange(threads_, {})) one.join();
  }

  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::vector<std::thread> threads_;
};

}  // namespace rill_test
