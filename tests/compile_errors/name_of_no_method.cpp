// needs: rill
// A function that is no method of a generated service, where a method is expected.
// expect: this is not a method of generated gRPC code; name it like &Greeter::Service::SayHello
#include <rill/rpc/method.hpp>

#include <grpcpp/grpcpp.h>

struct service {
#if defined(FIXED)
  grpc::Status say_hello(grpc::ServerContext*, const int*, int*);
#else
  int say_hello(int);
#endif
};

using named = rill::method<&service::say_hello>;
using request = named::request_type;
