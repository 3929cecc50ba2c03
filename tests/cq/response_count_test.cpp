// A method with one response takes exactly one: from a server that sends none or two, a call fails as UNIMPLEMENTED.
#include "support.hpp"

#include <doctest/doctest.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>

using namespace cq_test;

namespace {

/// Reads what comes, then answers any method with a number of responses and OK.
class responder final : public grpc::ServerGenericBidiReactor {
 public:
  explicit responder(int responses) : left_{responses} { StartRead(&message_); }

  void OnReadDone(bool ok) override {
    if (ok) {
      StartRead(&message_);
    } else {
      bool own = false;
      Summary summary;
      summary.set_count(1);
      static_cast<void>(grpc::GenericSerialize<grpc::ProtoBufferWriter, Summary>(summary, &message_, &own));
      respond();
    }
  }
  void OnWriteDone(bool ok) override { ok ? respond() : Finish(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 private:
  void respond() {
    if (left_-- > 0) {
      StartWrite(&message_);
    } else {
      Finish(grpc::Status::OK);
    }
  }

  grpc::ByteBuffer message_;
  int left_;
};

class generic_server final : grpc::CallbackGenericService {
 public:
  explicit generic_server(int responses) : responses_{responses} {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }

  [[nodiscard]] std::string target() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new responder{responses_};
  }

  int responses_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

rill::task<> collect(rill::client client, rill::status& ended) {
  auto call = client.call<&echo::Collect>();
  Note note;
  co_await call.write(note);
  const auto response = co_await rill::as_result(call.finish());
  ended = response.status();
}

rill::task<> say(rill::client client, rill::status& ended) {
  Note note;
  const auto response = co_await rill::as_result(client.call<&echo::Say>(note));
  ended = response.status();
}

}  // namespace

TEST_CASE("responses: client streaming takes exactly one") {
  for (const int responses : {0, 1, 2}) {
    CAPTURE(responses);
    const generic_server server{responses};
    rill::status ended;
    rill::sync_wait(collect(rill::client{server.target()}, ended));
    CHECK(ended.error_code() == (responses == 1 ? rill::status_code::OK : rill::status_code::UNIMPLEMENTED));
  }
}

TEST_CASE("responses: a unary call without a response fails") {
  const generic_server server{0};
  rill::status ended;
  rill::sync_wait(say(rill::client{server.target()}, ended));
  CHECK(ended.error_code() == rill::status_code::UNIMPLEMENTED);
}
