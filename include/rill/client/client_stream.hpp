// client_stream<Request, Response>: a call whose client streams. What client.call gives for a client-streaming method.
#pragma once

#include "rill/client/detail/stream_base.hpp"
#include "rill/client/detail/stream_writer.hpp"

namespace rill {

/// Writes the requests of a client-streaming call, then takes its one response.
/// For what all streams share see `detail::stream_base`.
template <class Request, class Response>
class [[nodiscard]] client_stream : public detail::stream_writer<Request> {
 public:
  using response_type = Response;
  using detail::stream_writer<Request>::stream_writer;

  /// Half-closes behind the writes, and waits for the response and the status. Once.
  finish_call<Response> finish() {
    return {detail::finish_with_response<Response>(this->side()), this->side()};
  }
};

}  // namespace rill
