// call_options: what a client may say about one call.
#pragma once

#include "rill/rpc/metadata.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace grpc {
class CallCredentials;
}  // namespace grpc

namespace rill {

/// How messages are compressed on the wire.
enum class compression : std::uint8_t { unset, identity, deflate, gzip };

/// Options of one message.
struct write_options {
  bool compress = true;  ///< False sends this message uncompressed on a call that compresses.
};

/// What a stream may hold before `write` waits. Zero means the default of the server or client.
struct queue_limits {
  std::uint32_t messages = 0;
  std::size_t bytes = 0;
};

/// Options of one call. Trivially destructible, so that it may stand in a `co_await` expression.
/// *Lifetime*: what it points to lives until the call has been made.
struct call_options {
  std::chrono::nanoseconds timeout{0};  ///< Zero: none of its own. The earlier of all deadlines holds.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  const rill::metadata* metadata = nullptr;
  bool wait_for_ready = false;
  rill::compression compression = rill::compression::unset;
  std::size_t max_receive_size = 0;  ///< Bytes of one received message; zero: the client's setting.
  std::size_t max_send_size = 0;     ///< Bytes of one sent message; zero: the client's setting.
  queue_limits queue{};
  const std::shared_ptr<grpc::CallCredentials>* credentials = nullptr;
};

}  // namespace rill
