// The smallest server: one method, one function. hello_server [address]
#include "greeter.grpc.pb.h"

#include <rill/server/server.hpp>

#include <cstdio>
#include <exception>

using namespace hello;

rill::task<HelloReply> say_hello(HelloRequest request) {
  HelloReply reply;
  reply.set_message("Hello, " + request.name() + "!");
  co_return reply;
}

int main(int argc, char** argv) try {
  rill::server server;
  server.listen(argc > 1 ? argv[1] : "127.0.0.1:50051");
  server.handle<&Greeter::Service::SayHello>(say_hello);
  server.start();
  std::printf("listening on port %d\n", server.port());
  std::fflush(stdout);
  server.run();  // until SIGINT or SIGTERM; calls that are being served are finished
  std::puts("stopped");
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
