// Keeps a second thread alive while a benchmark runs: in a process with one thread glibc leaves atomics out of its
// mutexes, which flatters whatever locks.
#pragma once

#include <atomic>
#include <thread>

namespace bench {

class second_thread {
 public:
  second_thread() = default;
  ~second_thread() {
    stop_.store(true);
    stop_.notify_one();
  }
  second_thread(const second_thread&) = delete;
  second_thread& operator=(const second_thread&) = delete;

 private:
  std::atomic<bool> stop_{false};
  std::jthread thread_{[this] { stop_.wait(false); }};
};

}  // namespace bench
