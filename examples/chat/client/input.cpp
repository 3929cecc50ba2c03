// A channel is open to any thread: this one blocks in sync_wait while the task is behind.
#include "input.hpp"

#include <rill/coro/sync_wait.hpp>

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace chat {

input::input(int fd, terminal* keys) : fd_{fd}, keys_{keys} {
  if (::pipe(stop_) != 0) throw std::system_error{errno, std::generic_category(), "pipe"};
  thread_ = std::thread{[this] {
    read_on();
    lines_.close();
  }};
}

input::~input() {
  lines_.close();
  ::close(stop_[1]);
  thread_.join();
  ::close(stop_[0]);
  ::close(fd_);
}

void input::read_on() {
  char bytes[4096];
  while (true) {
    pollfd waiting[] = {{fd_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0 && errno != EINTR) return;
    if (waiting[1].revents != 0) return;
    if (waiting[0].revents == 0) continue;
    const ssize_t got = ::read(fd_, bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      if (!partial_.empty()) hand_over(std::move(partial_));
      return;
    }
    if (!take({bytes, static_cast<std::size_t>(got)})) return;
  }
}

bool input::take(std::string_view bytes) {
  if (keys_ != nullptr) {
    terminal::typed typed = keys_->type(bytes);
    for (std::string& line : typed.lines) {
      if (!hand_over(std::move(line))) return false;
    }
    return !typed.ended;
  }
  partial_ += bytes;
  std::size_t from = 0;
  for (std::size_t end = 0; (end = partial_.find('\n', from)) != std::string::npos; from = end + 1) {
    if (!hand_over(partial_.substr(from, end - from))) return false;
  }
  partial_.erase(0, from);
  return true;
}

bool input::hand_over(std::string line) { return rill::sync_wait(lines_.send(std::move(line))); }

}  // namespace chat
