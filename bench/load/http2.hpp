// A bare HTTP/2 client connection that speaks just enough gRPC to load a server at the lowest price a message: fixed
// headers, no parsing of header blocks, windows so large that they hardly ever need an update.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// What a connection reports. Status codes are not looked at: check the server's own count.
class http2_events {
 public:
  virtual void on_data(std::uint32_t stream, std::string_view bytes) = 0;
  virtual void on_end(std::uint32_t stream) = 0;

 protected:
  ~http2_events() = default;
};

class http2_connection {
 public:
  http2_connection(int port, std::string_view path, http2_events& events) : events_(events) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("no server on that port");
    }
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
    out_ = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    frame(settings_frame, 0, 0, setting(2, 0) + setting(4, large_window));
    window_update(0, large_window - 65535);
    // The first block enters its four literals into the dynamic table, where later blocks find them.
    first_headers_ = "\x83\x86" + literal("\x44", path) + literal("\x41", "localhost") +
                     literal("\x5f", "application/grpc") +
                     literal(std::string("\x40\x02") + "te", "trailers");
    later_headers_ = "\x83\x86\xc1\xc0\xbf\xbe";
  }

  ~http2_connection() { close(fd_); }
  http2_connection(const http2_connection&) = delete;
  http2_connection& operator=(const http2_connection&) = delete;

  int fd() const { return fd_; }
  std::size_t out_size() const { return out_.size() - out_at_; }

  /// Opens a stream; its number tells it apart from the others of this connection.
  std::uint32_t open() {
    const std::uint32_t stream = next_stream_;
    next_stream_ += 2;
    frame(headers_frame, end_headers, stream, stream == 1 ? first_headers_ : later_headers_);
    return stream;
  }

  void data(std::uint32_t stream, std::string_view bytes, bool last) {
    connection_window_ -= static_cast<std::int64_t>(bytes.size());
    frame(data_frame, last ? end_stream : 0, stream, bytes);
  }

  /// What the server lets the connection send, and what a new stream may send.
  std::int64_t connection_window() const { return connection_window_; }
  std::int64_t initial_window() const { return initial_window_; }

  /// What WINDOW_UPDATE frames granted to the stream; for connections that send on one stream only.
  std::int64_t granted() const { return granted_; }

  void flush() {
    while (out_size() > 0) {
      const ssize_t sent = send(fd_, out_.data() + out_at_, out_.size() - out_at_, MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno == EAGAIN) return;
        throw std::runtime_error("the server closed the connection");
      }
      out_at_ += static_cast<std::size_t>(sent);
    }
    out_.clear();
    out_at_ = 0;
  }

  /// Reads until the socket is empty.
  void receive() {
    for (;;) {
      if (in_.size() - in_end_ < 16 * 1024) make_room();
      const ssize_t got = recv(fd_, in_.data() + in_end_, in_.size() - in_end_, 0);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) throw std::runtime_error("the server closed the connection");
      const bool full = static_cast<std::size_t>(got) == in_.size() - in_end_;
      in_end_ += static_cast<std::size_t>(got);
      parse();
      if (!full) return;
    }
  }

 private:
  static constexpr std::uint8_t data_frame = 0;
  static constexpr std::uint8_t headers_frame = 1;
  static constexpr std::uint8_t settings_frame = 4;
  static constexpr std::uint8_t end_stream = 1;
  static constexpr std::uint8_t end_headers = 4;
  static constexpr std::uint8_t ack = 1;
  static constexpr std::uint32_t large_window = 1u << 30;

  static std::string big_endian(std::uint32_t value) {
    const std::uint32_t swapped = htonl(value);
    std::string bytes(4, '\0');
    std::memcpy(bytes.data(), &swapped, 4);
    return bytes;
  }

  static std::string setting(char id, std::uint32_t value) {
    return std::string{'\0', id} + big_endian(value);
  }

  static std::string literal(const std::string& name, std::string_view value) {
    return name + static_cast<char>(value.size()) + std::string(value);
  }

  static std::uint32_t read_u32(const char* from) {
    std::uint32_t value = 0;
    std::memcpy(&value, from, 4);
    return ntohl(value);
  }

  void frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view body) {
    const auto size = static_cast<std::uint32_t>(body.size());
    const char header[5] = {static_cast<char>(size >> 16), static_cast<char>(size >> 8),
                            static_cast<char>(size), static_cast<char>(type), static_cast<char>(flags)};
    out_.append(header, 5).append(big_endian(stream)).append(body);
  }

  void window_update(std::uint32_t stream, std::uint32_t by) { frame(8, 0, stream, big_endian(by)); }

  void make_room() {
    std::memmove(in_.data(), in_.data() + in_begin_, in_end_ - in_begin_);
    in_end_ -= in_begin_;
    in_begin_ = 0;
  }

  void parse() {
    while (in_end_ - in_begin_ >= 9) {
      const char* at = in_.data() + in_begin_;
      const std::size_t size = read_u32(at) >> 8;
      if (in_end_ - in_begin_ < 9 + size) break;
      in_begin_ += 9 + size;
      handle(static_cast<std::uint8_t>(at[3]), static_cast<std::uint8_t>(at[4]),
             read_u32(at + 5) & 0x7fffffff, {at + 9, size});
    }
    if (in_begin_ == in_end_) in_begin_ = in_end_ = 0;
  }

  void handle(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view body) {
    switch (type) {
      case data_frame:
        taken_ += body.size();
        if (taken_ >= large_window / 2) {
          window_update(0, static_cast<std::uint32_t>(taken_));
          window_update(stream,
                        static_cast<std::uint32_t>(taken_));  // right where a connection has one long stream
          taken_ = 0;
        }
        events_.on_data(stream, body);
        if ((flags & end_stream) != 0) events_.on_end(stream);
        break;
      case headers_frame:
        if ((flags & end_stream) != 0) events_.on_end(stream);
        break;
      case 3:
        throw std::runtime_error("the server reset a stream");
      case settings_frame:
        if ((flags & ack) != 0) break;
        for (std::size_t i = 0; i + 6 <= body.size(); i += 6) {
          if (body[i + 1] == 4) initial_window_ = read_u32(body.data() + i + 2);
        }
        frame(settings_frame, ack, 0, {});
        break;
      case 6:
        if ((flags & ack) == 0) frame(6, ack, 0, body);
        break;
      case 7:
        throw std::runtime_error("the server sent GOAWAY");
      case 8:
        if (stream == 0)
          connection_window_ += read_u32(body.data());
        else
          granted_ += read_u32(body.data());
        break;
      default:
        break;
    }
  }

  http2_events& events_;
  int fd_ = -1;
  std::string first_headers_;
  std::string later_headers_;
  std::string out_;
  std::size_t out_at_ = 0;
  std::vector<char> in_ = std::vector<char>(256 * 1024);
  std::size_t in_begin_ = 0;
  std::size_t in_end_ = 0;
  std::uint32_t next_stream_ = 1;
  std::int64_t connection_window_ = 65535;
  std::int64_t initial_window_ = 65535;
  std::int64_t granted_ = 0;
  std::uint64_t taken_ = 0;
};

}  // namespace bench
