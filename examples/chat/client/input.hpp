// Brings lines from the keyboard, a pipe or a file to a task.
#pragma once

#include "terminal.hpp"

#include <rill/coro/channel.hpp>

#include <string>
#include <string_view>
#include <thread>

namespace chat {

/// Reads on a thread of its own, because reading a keyboard waits for a person.
class input {
 public:
  /// Reads `fd`, and closes it in the end. With a terminal, the bytes are its keys.
  input(int fd, terminal* keys);
  input(const input&) = delete;
  input& operator=(const input&) = delete;
  ~input();

  /// The lines; closed after the last one.
  [[nodiscard]] rill::channel<std::string>& lines() noexcept { return lines_; }

 private:
  void read_on();
  bool take(std::string_view bytes);
  bool hand_over(std::string line);

  int fd_;
  terminal* keys_;
  int stop_[2] = {-1, -1};  // a pipe: closing its writing end stops the thread
  std::string partial_;
  rill::channel<std::string> lines_{16};
  std::thread thread_;
};

}  // namespace chat
