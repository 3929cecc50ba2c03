// channel_connector: opens calls over a gRPC channel, on the loop of the task that makes them.
#pragma once

#include "rill/engine/cq/client_call.hpp"
#include "rill/engine/cq/event_loop.hpp"
#include "rill/engine/cq/runtime.hpp"
#include "rill/rpc/byte_stream.hpp"
#include "rill/rpc/relay.hpp"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace rill::cq {

/// What a channel over gRPC can be told.
struct channel_options {
  queue_limits queue{};              ///< Bounds of a stream's write queue, unless its call has its own.
  std::size_t max_receive_size = 0;  ///< Bytes of one received message; 0: gRPC's 4 MiB.
  std::size_t max_send_size = 0;     ///< Bytes of one sent message; 0: unlimited.
  /// Bytes that a stream may receive ahead of its reader; turns gRPC's own growing window off. 0: gRPC's choice.
  std::size_t stream_window = 0;
  rill::compression compression = rill::compression::unset;  ///< Of requests.
  /// A call in this process: a channel of its own, and not one that shares its connections with equal channels.
  bool own_connection = false;
};

inline void set_window(grpc::ChannelArguments& arguments, std::size_t stream_window) {
  if (stream_window == 0) return;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, static_cast<int>(stream_window));
}

/// *Concurrency*: any thread. *Lifetime*: its calls may outlive it.
class channel_connector final : public connector, public std::enable_shared_from_this<channel_connector> {
 public:
  explicit channel_connector(std::shared_ptr<grpc::Channel> channel, channel_options options = {})
      : options_{options}, channel_{std::move(channel)}, stub_{channel_} {}

  /// Null credentials: insecure.
  static std::shared_ptr<channel_connector> to(
      const std::string& target, std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr,
      channel_options options = {}, grpc::ChannelArguments arguments = {}) {
    if (options.max_receive_size != 0) {
      arguments.SetMaxReceiveMessageSize(static_cast<int>(options.max_receive_size));
    }
    if (options.max_send_size != 0) arguments.SetMaxSendMessageSize(static_cast<int>(options.max_send_size));
    set_window(arguments, options.stream_window);
    if (options.own_connection) arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    if (credentials == nullptr) credentials = grpc::InsecureChannelCredentials();
    return std::make_shared<channel_connector>(grpc::CreateCustomChannel(target, credentials, arguments),
                                               options);
  }

  client_call& open(const call_head& head, scheduler& home) override {
    if (event_loop* loop = event_loop::current(); loop == &home) {
      return *new client_call_object{stub_, head, options_.queue, options_.compression, *loop};
    }
    return open_relayed(*this, head, runtime::shared().next(), home, shared_from_this());
  }
  [[nodiscard]] const std::shared_ptr<grpc::Channel>& native() const noexcept { return channel_; }

 private:
  channel_options options_;
  std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
};

}  // namespace rill::cq
