// Sleeps until SIGINT or SIGTERM comes, or somebody says so, without polling.
#pragma once

#include <atomic>
#include <csignal>
#include <cstddef>
#include <stdexcept>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#else
#include <semaphore>
#endif

namespace rill::detail {

#if defined(__unix__) || defined(__APPLE__)

/// A pipe that a signal handler may write to.
class wake_pipe {
 public:
  wake_pipe() {
    if (::pipe(ends_) != 0) throw std::runtime_error{"rill: no pipe for signals is left"};
    for (const int end : ends_) ::fcntl(end, F_SETFD, FD_CLOEXEC);
    ::fcntl(ends_[1], F_SETFL, O_NONBLOCK);
  }
  wake_pipe(const wake_pipe&) = delete;
  wake_pipe& operator=(const wake_pipe&) = delete;
  ~wake_pipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }

  /// Async-signal-safe. A full pipe wakes as well.
  void notify() const noexcept {
    const int before = errno;
    const char byte = 0;
    static_cast<void>(::write(ends_[1], &byte, 1) == 1);
    errno = before;
  }
  void wait() const noexcept {
    char byte = 0;
    while (::read(ends_[0], &byte, 1) < 0 && errno == EINTR) {
    }
  }

 private:
  int ends_[2] = {-1, -1};
};

#else

class wake_pipe {
 public:
  void notify() noexcept { semaphore_.release(); }
  void wait() noexcept { semaphore_.acquire(); }

 private:
  std::counting_semaphore<> semaphore_{0};
};

#endif

/// One `run` that can be ended by a signal. Signals reach every one of the process that watches.
class signal_wait {
 public:
  signal_wait() = default;
  signal_wait(const signal_wait&) = delete;
  signal_wait& operator=(const signal_wait&) = delete;
  ~signal_wait() { unwatch(); }

  /// From here on SIGINT and SIGTERM end `wait`. *Throws*: `std::runtime_error` if too many watch at once.
  void watch_signals() {
    for (std::atomic<signal_wait*>& place : places) {
      signal_wait* expected = nullptr;
      if (!place.compare_exchange_strong(expected, this)) continue;
      place_ = &place;
      if (watchers.fetch_add(1) == 0) {
        old_interrupt = std::signal(SIGINT, &on_signal);
        old_terminate = std::signal(SIGTERM, &on_signal);
      }
      return;
    }
    throw std::runtime_error{"rill: too many servers wait for signals"};
  }
  /// Sleeps until a signal or `notify`; then signals do again what they did before.
  void wait() noexcept {
    pipe_.wait();
    unwatch();
  }
  /// *Concurrency*: any thread.
  void notify() noexcept { pipe_.notify(); }

 private:
  using handler = void (*)(int);

  static void on_signal(int) noexcept {
    for (const std::atomic<signal_wait*>& place : places) {
      if (signal_wait* one = place.load()) one->pipe_.notify();
    }
  }
  void unwatch() noexcept {
    if (place_ == nullptr) return;
    if (watchers.fetch_sub(1) == 1) {
      std::signal(SIGINT, old_interrupt);
      std::signal(SIGTERM, old_terminate);
    }
    place_->store(nullptr);
    place_ = nullptr;
  }

  static constexpr std::size_t most = 64;
  static inline std::atomic<signal_wait*> places[most]{};
  static inline std::atomic<int> watchers{0};
  static inline handler old_interrupt = SIG_DFL;
  static inline handler old_terminate = SIG_DFL;

  wake_pipe pipe_;
  std::atomic<signal_wait*>* place_ = nullptr;
};

}  // namespace rill::detail
