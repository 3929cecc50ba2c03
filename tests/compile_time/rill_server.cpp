// The same server as hand_written_server.cpp, as rill's users write it.
#include "greeter.grpc.pb.h"

#include <rill/server/server.hpp>

using rill_compile_time::Greeter;
using rill_compile_time::HelloReply;
using rill_compile_time::HelloRequest;

rill::task<HelloReply> say_hello(HelloRequest request) {
  HelloReply reply;
  reply.set_message("Hello " + request.name());
  co_return reply;
}

int main() {
  rill::server server;
  server.listen("0.0.0.0:50051");
  server.handle<&Greeter::Service::SayHello>(say_hello);
  server.run();
}
