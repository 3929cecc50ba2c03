// server_stream<Response>: a call whose server streams. What client.call gives for a server-streaming method.
#pragma once

#include "rill/client/detail/stream_base.hpp"

namespace rill {

/// Reads the responses of a server-streaming call. For what all streams share see `detail::stream_base`.
template <class Response>
class [[nodiscard]] server_stream : public detail::stream_base {
 public:
  using response_type = Response;
  using stream_base::stream_base;

  /// Reads a message into an optional. *Completes* empty once the call has ended with OK.
  /// *Cancellation*: takes nothing; the message stays for the next read.
  /// *Throws*: `status_error` if the call ended otherwise; `std::logic_error` while another task reads.
  detail::read_operation<Response, detail::client_side> read() {
    return detail::read_operation<Response, detail::client_side>{side()};
  }
  /// Reads into `response`, whose memory is reused. *Completes* with false once the call has ended with OK.
  detail::read_into_operation<Response, detail::client_side> read(Response& response) {
    return detail::read_into_operation<Response, detail::client_side>{side(), response};
  }
  /// Waits for the end of the call. Messages that were not read are dropped, as `rest` says.
  finish_call<void> finish(unread rest = unread::discard) {
    return {detail::finish_stream(side(), false, rest), side()};
  }
};

}  // namespace rill
