// The control for tests of the protocol itself: the plainest server on gRPC's own synchronous interface.
// control_interop_server --port=N. Port 0 takes a free one; it is printed.
#include "flags.hpp"
#include "test.grpc.pb.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <csignal>
#include <iostream>

namespace {

class empty_service final : public grpc::testing::TestService::Service {
  grpc::Status EmptyCall(grpc::ServerContext*, const grpc::testing::Empty*, grpc::testing::Empty*) override {
    return grpc::Status::OK;
  }
};

}  // namespace

int main(int argc, char** argv) {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  const interop::flags flags{argc, argv};
  empty_service service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + flags.text("port", "10000"), grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::cout << "listening on port " << port << std::endl;
  int signal = 0;
  sigwait(&stop, &signal);
  server->Shutdown();
}
