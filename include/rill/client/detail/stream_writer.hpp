// The writing half of a client's stream.
#pragma once

#include "rill/client/detail/stream_base.hpp"
#include "rill/rpc/encoded.hpp"

namespace rill::detail {

template <class Request>
class stream_writer : public stream_base {
  template <class Item>
  using operation = write_operation<Item, client_side>;

 public:
  using request_type = Request;
  using stream_base::stream_base;

  /// Puts `request` into the call's write queue. *Completes* with true once it is accepted, which waits while the queue
  /// is full; with false if the server has ended the call with OK, or its status is behind messages not read yet.
  /// *Cancellation*: nothing was written, and `request` is as it was. *Concurrency*: any number of writes at once.
  /// *Throws*: `status_error` if the call ended otherwise; `usage_error` after the stream was half-closed.
  /// *Lifetime*: `request` lives until then.
  operation<Request> write(const Request& request, write_options options = {}) {
    return operation<Request>{side(), request, options};
  }
  /// Writes what was serialised before: the queue shares its bytes.
  operation<encoded<Request>> write(const encoded<Request>& request, write_options options = {}) {
    return operation<encoded<Request>>{side(), request, options};
  }
  /// Writes without waiting: false if the queue is full, or no task has used the stream yet. Otherwise as `write`.
  bool try_write(const Request& request, write_options options = {}) {
    return side().open() && detail::try_write(side(), request, options);
  }
  bool try_write(const encoded<Request>& request, write_options options = {}) {
    return side().open() && detail::try_write(side(), request, options);
  }
  /// *Completes* with true once everything that was accepted is with the transport; as `write` if the call ends before.
  flush_operation<client_side> flush() { return flush_operation<client_side>{side()}; }
};

}  // namespace rill::detail
