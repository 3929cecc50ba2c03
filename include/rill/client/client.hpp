// client: makes calls to a server over gRPC.
#pragma once

#include "rill/client/method_caller.hpp"
#include "rill/engine/cq/channel.hpp"

#include <memory>
#include <string>
#include <utility>

namespace rill {

using client_options = cq::channel_options;

/// A connection to a server, made when the first call needs it. Copies share it.
/// *Concurrency*: any thread. *Lifetime*: calls may outlive it.
class client : public method_caller {
 public:
  /// Connects to a target such as "dns:///localhost:50051" or "unix:/run/greeter.sock"; with no credentials it is
  /// insecure.
  explicit client(const std::string& target, std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr,
                  client_options options = {})
      : client{cq::channel_connector::to(target, std::move(credentials), options)} {}
  client(const std::string& target, client_options options)
      : client{cq::channel_connector::to(target, nullptr, options)} {}
  /// As above with gRPC's own channel arguments, for what rill has no setting for.
  client(const std::string& target, std::shared_ptr<grpc::ChannelCredentials> credentials,
         client_options options, const grpc::ChannelArguments& arguments)
      : client{cq::channel_connector::to(target, std::move(credentials), options, arguments)} {}
  /// Uses a channel that exists.
  explicit client(std::shared_ptr<grpc::Channel> channel, client_options options = {})
      : client{std::make_shared<cq::channel_connector>(std::move(channel), options)} {}
  /// Uses another way to open calls, such as a server's `in_process`.
  explicit client(std::shared_ptr<rill::connector> connection) : method_caller{std::move(connection)} {}
};

}  // namespace rill
