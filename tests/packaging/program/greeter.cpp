// A program that uses all of rill: one server, one client, one unary call over a TCP port.
#include "greeter.grpc.pb.h"

#include <rill/rill.hpp>

#include <chrono>
#include <cstdio>
#include <string>

using packaging::Greeter;
using packaging::HelloReply;
using packaging::HelloRequest;

namespace {

rill::task<HelloReply> say_hello(HelloRequest request) {
  HelloReply reply;
  reply.set_message("Hello " + request.name());
  co_return reply;
}

rill::task<std::string> greet(std::string target) {
  rill::client greeter{target};
  HelloRequest request;
  request.set_name("world");
  HelloReply reply =
      co_await greeter.call<&Greeter::Service::SayHello>(request, {.timeout = std::chrono::seconds(20)});
  co_return reply.message();
}

}  // namespace

int main() {
  rill::server server;
  server.listen("127.0.0.1:0");
  server.handle<&Greeter::Service::SayHello>(say_hello);
  server.start();
  const std::string message = rill::sync_wait(greet("127.0.0.1:" + std::to_string(server.port())));
  server.shutdown(std::chrono::seconds(1));
  std::puts(message.c_str());
  return message == "Hello world" ? 0 : 1;
}
