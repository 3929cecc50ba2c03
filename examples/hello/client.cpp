// The smallest client: one call, awaited. hello_client [target [name]]
#include "greeter.grpc.pb.h"

#include <rill/client/client.hpp>
#include <rill/coro/sync_wait.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

using namespace hello;
using namespace std::chrono_literals;

rill::task<> greet(std::string target, std::string name) {
  rill::client greeter{target};
  HelloRequest request;
  request.set_name(name);
  const HelloReply reply = co_await greeter.call<&Greeter::Service::SayHello>(request, {.timeout = 5s});
  std::puts(reply.message().c_str());
}

int main(int argc, char** argv) try {
  rill::sync_wait(greet(argc > 1 ? argv[1] : "127.0.0.1:50051", argc > 2 ? argv[2] : "world"));
} catch (const std::exception& error) {  // a call that failed throws rill::status_error
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
