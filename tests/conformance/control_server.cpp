// The control: the same server on gRPC's own synchronous interface. What it fails too is not rill's failure.
#include "connectrpc/conformance/v1/service.grpc.pb.h"
#include "suite.hpp"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

namespace {

using namespace conformance;

request_info info_of(grpc::ServerContext& context) {
  request_info info;
  for (const auto& [name, value] : context.client_metadata()) {
    append_header(*info.mutable_request_headers(), {name.data(), name.size()}, {value.data(), value.size()});
  }
  if (context.deadline() != std::chrono::system_clock::time_point::max()) {
    const auto left = context.deadline() - std::chrono::system_clock::now();
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
    if (milliseconds < std::int64_t{1000} * 60 * 60 * 24 * 365) info.set_timeout_ms(milliseconds);
  }
  return info;
}

template <class Definition>
void set_metadata(grpc::ServerContext& context, const Definition& definition) {
  for_each_header(definition.response_headers(), [&](const std::string& name, const std::string& value) {
    context.AddInitialMetadata(name, value);
  });
  for_each_header(definition.response_trailers(), [&](const std::string& name, const std::string& value) {
    context.AddTrailingMetadata(name, value);
  });
}

/// Sleeps in steps, so that a call that was cancelled frees its thread.
template <class Definition>
void delay(const grpc::ServerContext& context, const Definition& definition) {
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::milliseconds{definition.response_delay_ms()};
  while (std::chrono::steady_clock::now() < end && !context.IsCancelled()) {
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
}

grpc::Status status_of(const suite::Error& error, const request_info* info) {
  return {static_cast<grpc::StatusCode>(error.code()), error.message(), details_of(error, info)};
}

template <class Out>
struct message_of;
template <class W>
struct message_of<grpc::ServerWriter<W>> {
  using type = W;
};
template <class W, class R>
struct message_of<grpc::ServerReaderWriter<W, R>> {
  using type = W;
};

class control_service final : public suite::ConformanceService::Service {
 public:
  grpc::Status Unary(grpc::ServerContext* context, const suite::UnaryRequest* request,
                     suite::UnaryResponse* response) override {
    request_info info = info_of(*context);
    info.add_requests()->PackFrom(*request);
    return respond(*context, request->response_definition(), info, *response);
  }
  grpc::Status ClientStream(grpc::ServerContext* context, grpc::ServerReader<suite::ClientStreamRequest>* in,
                            suite::ClientStreamResponse* response) override {
    request_info info = info_of(*context);
    suite::UnaryResponseDefinition definition;
    suite::ClientStreamRequest request;
    for (bool first = true; in->Read(&request); first = false) {
      if (first) definition = request.response_definition();
      info.add_requests()->PackFrom(request);
    }
    return respond(*context, definition, info, *response);
  }
  grpc::Status ServerStream(grpc::ServerContext* context, const suite::ServerStreamRequest* request,
                            grpc::ServerWriter<suite::ServerStreamResponse>* out) override {
    request_info info = info_of(*context);
    info.add_requests()->PackFrom(*request);
    const auto& definition = request->response_definition();
    set_metadata(*context, definition);
    out->SendInitialMetadata();
    return stream(*context, definition, info, 0, *out);
  }
  grpc::Status BidiStream(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<suite::BidiStreamResponse, suite::BidiStreamRequest>* both) override {
    request_info info = info_of(*context);
    suite::StreamResponseDefinition definition;
    bool full_duplex = false;
    int sent = 0;
    suite::BidiStreamRequest request;
    for (bool first = true; both->Read(&request); first = false) {
      if (first) {
        definition = request.response_definition();
        full_duplex = request.full_duplex();
        set_metadata(*context, definition);
        if (full_duplex) both->SendInitialMetadata();
      }
      info.add_requests()->PackFrom(request);
      if (!full_duplex) continue;
      if (sent == definition.response_data_size()) break;
      delay(*context, definition);
      suite::BidiStreamResponse response;
      response.mutable_payload()->set_data(definition.response_data(sent++));
      *response.mutable_payload()->mutable_request_info() = info;
      info.Clear();
      both->Write(response);
    }
    if (!full_duplex) both->SendInitialMetadata();
    return stream(*context, definition, info, sent, *both);
  }

 private:
  template <class Response>
  static grpc::Status respond(grpc::ServerContext& context, const suite::UnaryResponseDefinition& definition,
                              const request_info& info, Response& response) {
    set_metadata(context, definition);
    delay(context, definition);
    if (definition.has_error()) return status_of(definition.error(), &info);
    response.mutable_payload()->set_data(definition.response_data());
    *response.mutable_payload()->mutable_request_info() = info;
    return grpc::Status::OK;
  }
  template <class Out>
  static grpc::Status stream(const grpc::ServerContext& context,
                             const suite::StreamResponseDefinition& definition, const request_info& info,
                             int sent, Out& out) {
    for (; sent < definition.response_data_size(); ++sent) {
      delay(context, definition);
      typename message_of<Out>::type response;
      response.mutable_payload()->set_data(definition.response_data(sent));
      if (sent == 0) *response.mutable_payload()->mutable_request_info() = info;
      out.Write(response);
    }
    return definition.has_error() ? status_of(definition.error(), sent == 0 ? &info : nullptr)
                                  : grpc::Status::OK;
  }
};

std::shared_ptr<grpc::ServerCredentials> credentials_of(const suite::ServerCompatRequest& wanted) {
  if (!wanted.use_tls()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({wanted.server_creds().key(), wanted.server_creds().cert()});
  if (!wanted.client_tls_cert().empty()) {
    options.pem_root_certs = wanted.client_tls_cert();
    options.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return grpc::SslServerCredentials(options);
}

}  // namespace

int main() {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  suite::ServerCompatRequest wanted;
  if (!read_framed(std::cin, wanted)) {
    std::cerr << "no request on standard input: this program is run by the conformance suite\n";
    return 1;
  }
  control_service service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", credentials_of(wanted), &port);
  builder.SetMaxReceiveMessageSize(static_cast<int>(wanted.message_receive_limit()));
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();

  suite::ServerCompatResponse ready;
  ready.set_host("127.0.0.1");
  ready.set_port(static_cast<std::uint32_t>(port));
  ready.set_pem_cert(wanted.server_creds().cert());
  write_framed(std::cout, ready);
  int signal = 0;
  sigwait(&stop, &signal);
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds{2});
}
