// Corking: what a saturated loop sends on one connection within a short time leaves together, in few large segments.
// This is what a loop needs for it; peer_sockets.hpp tells which socket a call is on.
#pragma once

#include <cstdint>

#if defined(__linux__)
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#endif

namespace rill::cq {

/// No socket, or one that is not to be corked.
inline constexpr int no_socket = -1;

/// Errors mean nothing here: the connection may be gone.
inline void set_cork([[maybe_unused]] int socket, [[maybe_unused]] bool on) noexcept {
#if defined(__linux__)
  const int value = on ? 1 : 0;
  static_cast<void>(::setsockopt(socket, IPPROTO_TCP, TCP_CORK, &value, sizeof value));
#endif
}

/// The sockets that one loop has corked at present.
class corked_sockets {
 public:
  /// Nothing stays corked for more than `longest` nanoseconds while others run.
  explicit corked_sockets(std::int64_t longest = 0) noexcept : longest_{longest} {}
  corked_sockets(const corked_sockets&) = delete;
  corked_sockets& operator=(const corked_sockets&) = delete;
  ~corked_sockets() { close(); }

  /// From now on what is about to send corks its socket first.
  void open() noexcept { open_ = true; }
  [[nodiscard]] bool is_open() const noexcept { return open_; }
  void cork(int socket, std::int64_t now) noexcept {
    for (unsigned i = 0; i < count_; ++i) {
      if (sockets_[i] == socket) return;
    }
    if (count_ == most) release();
    if (count_ == 0) since_ = now;
    sockets_[count_++] = socket;
    set_cork(socket, true);
  }
  [[nodiscard]] bool any() const noexcept { return count_ != 0; }
  void set_longest(std::int64_t longest) noexcept { longest_ = longest; }
  /// Lets go of what waits once the first of it has waited for the longest time that it may.
  void release_if_late(std::int64_t now) noexcept {
    if (now - since_ >= longest_) release();
  }
  void release() noexcept {
    while (count_ != 0) set_cork(sockets_[--count_], false);
  }
  void close() noexcept {
    open_ = false;
    release();
  }

 private:
  static constexpr unsigned most = 32;

  std::int64_t longest_;
  bool open_ = false;
  unsigned count_ = 0;
  std::int64_t since_ = 0;
  int sockets_[most];
};

}  // namespace rill::cq
