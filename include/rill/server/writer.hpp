// writer<T>: the messages that a handler streams to its client.
#pragma once

#include "rill/rpc/encoded.hpp"
#include "rill/server/detail/server_side.hpp"

namespace rill {

/// Writes the responses of a server-streaming or bidirectional call.
/// *Concurrency*: by any number of tasks of the call's home at once. *Lifetime*: until the handler returns.
template <class T>
class writer {
  template <class Item>
  using operation = detail::write_operation<Item, detail::server_side>;

 public:
  using message_type = T;

  explicit writer(detail::server_side& side) noexcept : side_{side} {}
  writer(const writer&) = delete;
  writer& operator=(const writer&) = delete;

  /// Puts `message` into the call's write queue. *Completes* once it is accepted, which waits while the queue is full.
  /// An accepted message is never withdrawn. *Cancellation*: nothing was written, and `message` is as it was.
  /// *Throws*: `operation_cancelled` when the call is dead. *Lifetime*: `message` lives until then.
  operation<T> write(const T& message, write_options options = {}) noexcept {
    return operation<T>{side_, message, options};
  }
  /// Writes what was serialised before: the queue shares its bytes.
  operation<encoded<T>> write(const encoded<T>& message, write_options options = {}) noexcept {
    return operation<encoded<T>>{side_, message, options};
  }

  /// Writes without waiting: false if the queue is full.
  /// *Throws*: `operation_cancelled` when the call is dead.
  bool try_write(const T& message, write_options options = {}) {
    return detail::try_write(side_, message, options);
  }
  bool try_write(const encoded<T>& message, write_options options = {}) {
    return detail::try_write(side_, message, options);
  }

  /// *Completes* once everything that was accepted is with the transport.
  /// *Throws*: `operation_cancelled` when the call is dead.
  detail::flush_operation<detail::server_side> flush() noexcept {
    return detail::flush_operation<detail::server_side>{side_};
  }

 private:
  detail::server_side& side_;
};

}  // namespace rill
