// connect_in_process: calls to a server of the same process, without a port.
#pragma once

#include "rill/coro/errors.hpp"
#include "rill/engine/cq/channel.hpp"
#include "rill/engine/cq/server_engine.hpp"

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/server_posix.h>

#include <memory>
#include <stdexcept>
#include <utility>

#if defined(GPR_SUPPORT_CHANNELS_FROM_FD)
#include <fcntl.h>
#include <sys/socket.h>
#endif

namespace rill::cq {

/// Opens calls to `engine`'s server, after its start. It has a header of its own so that a program that only serves does
/// not pay for compiling a client.
[[nodiscard]] inline std::shared_ptr<connector> connect_in_process(server_engine& engine) {
  grpc::Server* const server = engine.native();
  if (server == nullptr) throw usage_error{"rill: in_process needs a server that has started"};
#if defined(GPR_SUPPORT_CHANNELS_FROM_FD)
  // Not gRPC's InProcessChannel: that drops messages which are sent while no read is under way.
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
    throw std::runtime_error{"rill: no socket for a call in this process is left"};
  }
  for (const int end : ends) {
    ::fcntl(end, F_SETFD, FD_CLOEXEC);
    ::fcntl(end, F_SETFL, O_NONBLOCK);
  }
  grpc::ChannelArguments arguments;
  set_window(arguments, engine.options().stream_window);
  auto channel = grpc::CreateCustomInsecureChannelFromFd("in-process", ends[1], arguments);
  grpc::AddInsecureChannelFromFd(server, ends[0]);
  return std::make_shared<channel_connector>(std::move(channel));
#else
  return std::make_shared<channel_connector>(server->InProcessChannel(grpc::ChannelArguments{}));
#endif
}

}  // namespace rill::cq
