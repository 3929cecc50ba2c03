// bidi_stream<Request, Response>: a call in which both sides stream. What client.call gives for such a method.
#pragma once

#include "rill/client/detail/stream_base.hpp"
#include "rill/client/detail/stream_writer.hpp"

namespace rill {

/// Writes requests and reads responses, independently of each other and from different tasks if wanted.
/// For what all streams share see `detail::stream_base`.
template <class Request, class Response>
class [[nodiscard]] bidi_stream : public detail::stream_writer<Request> {
 public:
  using response_type = Response;
  using detail::stream_writer<Request>::stream_writer;

  /// Reads a message into an optional. *Completes* empty once the call has ended with OK.
  /// *Cancellation*: takes nothing; the message stays for the next read.
  /// *Throws*: `status_error` if the call ended otherwise; `std::logic_error` while another task reads.
  detail::read_operation<Response, detail::client_side> read() {
    return detail::read_operation<Response, detail::client_side>{this->side()};
  }
  /// Reads into `response`, whose memory is reused. *Completes* with false once the call has ended with OK.
  detail::read_into_operation<Response, detail::client_side> read(Response& response) {
    return detail::read_into_operation<Response, detail::client_side>{this->side(), response};
  }
  /// Tells the server that no more requests follow, behind the writes that came before.
  detail::half_close_operation writes_done() { return detail::half_close_operation{this->side()}; }
  /// Half-closes if that was not done, and waits for the end of the call. Messages that were not read are dropped, as
  /// `rest` says.
  finish_call<void> finish(unread rest = unread::discard) {
    return {detail::finish_stream(this->side(), true, rest), this->side()};
  }
};

}  // namespace rill
