// The yardstick for compile time: a unary hello server written by hand over gRPC's completion queue, with what such
// a program needs and no more.
#include "greeter.grpc.pb.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <thread>

using rill_compile_time::Greeter;
using rill_compile_time::HelloReply;
using rill_compile_time::HelloRequest;

namespace {

class call {
 public:
  call(Greeter::AsyncService& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue), responder_(&context_) {
    service_.RequestSayHello(&context_, &request_, &responder_, &queue_, &queue_, this);
  }

  void proceed(bool ok) {
    if (finished_ || !ok) {
      delete this;
      return;
    }
    new call(service_, queue_);
    HelloReply reply;
    reply.set_message("Hello " + request_.name());
    finished_ = true;
    responder_.Finish(reply, grpc::Status::OK, this);
  }

 private:
  Greeter::AsyncService& service_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  HelloRequest request_;
  grpc::ServerAsyncResponseWriter<HelloReply> responder_;
  bool finished_ = false;
};

}  // namespace

int main() {
  Greeter::AsyncService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("0.0.0.0:50051", grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) return 1;
  std::thread polling([&] {
    new call(service, *queue);
    void* tag = nullptr;
    bool ok = false;
    while (queue->Next(&tag, &ok)) static_cast<call*>(tag)->proceed(ok);
  });
  server->Wait();
  queue->Shutdown();
  polling.join();
}
