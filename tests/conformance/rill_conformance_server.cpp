// The server under test, by rill's public interface only.
#include "connectrpc/conformance/v1/service.grpc.pb.h"
#include "suite.hpp"

#include <rill/rill.hpp>

#include <grpcpp/security/server_credentials.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <string>

namespace {

using namespace conformance;
using service = suite::ConformanceService::Service;

request_info info_of(rill::server_context& context) {
  request_info info;
  for (const auto& [name, value] : context.request_metadata()) {
    append_header(*info.mutable_request_headers(), name, value);
  }
  if (const auto deadline = context.deadline()) {
    const auto left = *deadline - std::chrono::steady_clock::now();
    info.set_timeout_ms(std::chrono::duration_cast<std::chrono::milliseconds>(left).count());
  }
  return info;
}

template <class Definition>
void set_metadata(rill::server_context& context, const Definition& definition) {
  for_each_header(definition.response_headers(), [&](const std::string& name, const std::string& value) {
    context.initial_metadata().add(name, value);
  });
  for_each_header(definition.response_trailers(), [&](const std::string& name, const std::string& value) {
    context.trailing_metadata().add(name, value);
  });
}

template <class Definition>
rill::task<> delay(const Definition& definition) {
  if (definition.response_delay_ms() == 0) co_return;
  co_await rill::sleep_for(std::chrono::milliseconds{definition.response_delay_ms()});
}

[[noreturn]] void raise(const suite::Error& error, const request_info* info) {
  throw rill::status_error{static_cast<rill::status_code>(error.code()), error.message(),
                           details_of(error, info)};
}

template <class Response>
rill::task<Response> respond(rill::server_context& context, const suite::UnaryResponseDefinition& definition,
                             const request_info& info) {
  set_metadata(context, definition);
  co_await delay(definition);
  if (definition.has_error()) raise(definition.error(), &info);
  Response response;
  response.mutable_payload()->set_data(definition.response_data());
  *response.mutable_payload()->mutable_request_info() = info;
  co_return response;
}

rill::task<suite::UnaryResponse> unary(rill::server_context& context, suite::UnaryRequest request) {
  request_info info = info_of(context);
  info.add_requests()->PackFrom(request);
  co_return co_await respond<suite::UnaryResponse>(context, request.response_definition(), info);
}

rill::task<suite::ClientStreamResponse> client_stream(rill::server_context& context,
                                                      rill::reader<suite::ClientStreamRequest>& in) {
  request_info info = info_of(context);
  suite::UnaryResponseDefinition definition;
  bool first = true;
  while (auto request = co_await in.read()) {
    if (first) definition = request->response_definition();
    first = false;
    info.add_requests()->PackFrom(*request);
  }
  co_return co_await respond<suite::ClientStreamResponse>(context, definition, info);
}

rill::task<> server_stream(rill::server_context& context, suite::ServerStreamRequest request,
                           rill::writer<suite::ServerStreamResponse>& out) {
  request_info info = info_of(context);
  info.add_requests()->PackFrom(request);
  const suite::StreamResponseDefinition& definition = request.response_definition();
  set_metadata(context, definition);
  co_await context.send_initial_metadata();
  bool first = true;
  for (const std::string& data : definition.response_data()) {
    co_await delay(definition);
    suite::ServerStreamResponse response;
    response.mutable_payload()->set_data(data);
    if (first) *response.mutable_payload()->mutable_request_info() = info;
    first = false;
    co_await out.write(response);
  }
  if (definition.has_error()) raise(definition.error(), first ? &info : nullptr);
}

rill::task<> bidi_stream(rill::server_context& context, rill::reader<suite::BidiStreamRequest>& in,
                         rill::writer<suite::BidiStreamResponse>& out) {
  request_info info = info_of(context);
  suite::StreamResponseDefinition definition;
  bool full_duplex = false;
  bool first = true;
  int sent = 0;
  while (auto request = co_await in.read()) {
    if (first) {
      definition = request->response_definition();
      full_duplex = request->full_duplex();
      set_metadata(context, definition);
      if (full_duplex) co_await context.send_initial_metadata();
    }
    first = false;
    info.add_requests()->PackFrom(*request);
    if (!full_duplex) continue;
    if (sent == definition.response_data_size()) break;
    co_await delay(definition);
    suite::BidiStreamResponse response;
    response.mutable_payload()->set_data(definition.response_data(sent++));
    *response.mutable_payload()->mutable_request_info() = info;
    info.Clear();  // what was reported is not reported again
    co_await out.write(response);
  }
  if (!full_duplex) co_await context.send_initial_metadata();
  for (; sent < definition.response_data_size();) {
    co_await delay(definition);
    suite::BidiStreamResponse response;
    response.mutable_payload()->set_data(definition.response_data(sent));
    if (sent == 0) *response.mutable_payload()->mutable_request_info() = info;
    ++sent;
    co_await out.write(response);
  }
  if (definition.has_error()) raise(definition.error(), sent == 0 ? &info : nullptr);
}

std::shared_ptr<grpc::ServerCredentials> credentials_of(const suite::ServerCompatRequest& wanted) {
  if (!wanted.use_tls()) return nullptr;
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
  suite::ServerCompatRequest wanted;
  if (!read_framed(std::cin, wanted)) {
    std::cerr << "no request on standard input: this program is run by the conformance suite\n";
    return 1;
  }
  rill::server server{{.max_receive_size = wanted.message_receive_limit()}};
  server.listen("127.0.0.1:0", credentials_of(wanted));
  server.handle<&service::Unary>(unary);
  server.handle<&service::ClientStream>(client_stream);
  server.handle<&service::ServerStream>(server_stream);
  server.handle<&service::BidiStream>(bidi_stream);
  server.start();

  suite::ServerCompatResponse ready;
  ready.set_host("127.0.0.1");
  ready.set_port(static_cast<std::uint32_t>(server.port()));
  ready.set_pem_cert(wanted.server_creds().cert());
  write_framed(std::cout, ready);
  server.run(std::chrono::seconds{2});
}
