// reader<T>: the messages that a client streams to a handler.
#pragma once

#include "rill/server/detail/server_side.hpp"

namespace rill {

/// Reads the requests of a client-streaming or bidirectional call.
/// *Concurrency*: by tasks of the call's home, one read at a time; reading and writing are independent.
/// *Lifetime*: until the handler returns.
template <class T>
class reader {
 public:
  using message_type = T;

  explicit reader(detail::server_side& side) noexcept : side_{side} {}
  reader(const reader&) = delete;
  reader& operator=(const reader&) = delete;

  /// Reads a message into an optional. *Completes* empty once the client has half-closed, and only then.
  /// *Cancellation*: takes nothing; the message stays for the next read.
  /// *Throws*: `operation_cancelled` when the call is dead; `status_error` for a message that cannot be parsed;
  /// `std::logic_error` while another task reads.
  detail::read_operation<T, detail::server_side> read() noexcept {
    return detail::read_operation<T, detail::server_side>{side_};
  }
  /// Reads into `message`, whose memory is reused. *Completes* with false once the client has half-closed.
  /// As `read()` otherwise. *Lifetime*: `message` lives until then.
  detail::read_into_operation<T, detail::server_side> read(T& message) noexcept {
    return detail::read_into_operation<T, detail::server_side>{side_, message};
  }

 private:
  detail::server_side& side_;
};

}  // namespace rill
