// gRPC's interoperability server by rill's public interface:
// rill_interop_server --port=N [--use_tls --tls_cert_file=F --tls_key_file=F]. Port 0 takes a free one; it is printed.
#include "flags.hpp"
#include "orca.grpc.pb.h"
#include "test.grpc.pb.h"

#include <rill/rill.hpp>

#include <grpcpp/security/server_credentials.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace grpc::testing;
using service = TestService::Service;
using load_report = xds::service::orca::v3::OrcaLoadReport;
using load_request = xds::service::orca::v3::OrcaLoadReportRequest;

constexpr const char* echo_initial = "x-grpc-test-echo-initial";
constexpr const char* echo_trailing = "x-grpc-test-echo-trailing-bin";

/// What the server reports as its load beside the calls.
class current_load {
 public:
  void set(load_report report) {
    const std::lock_guard held{mutex_};
    report_ = std::move(report);
  }
  [[nodiscard]] load_report get() const {
    const std::lock_guard held{mutex_};
    return report_;
  }

 private:
  mutable std::mutex mutex_;
  load_report report_;
};

load_report report_of(const TestOrcaReport& wanted) {
  load_report report;
  report.set_cpu_utilization(wanted.cpu_utilization());
  report.set_mem_utilization(wanted.memory_utilization());
  *report.mutable_request_cost() = wanted.request_cost();
  *report.mutable_utilization() = wanted.utilization();
  return report;
}

Payload payload_of(PayloadType type, std::int32_t size) {
  if (type != COMPRESSABLE)
    throw rill::status_error{rill::status_code::INVALID_ARGUMENT, "unknown payload type"};
  if (size < 0) throw rill::status_error{rill::status_code::INVALID_ARGUMENT, "negative payload size"};
  Payload payload;
  payload.set_body(std::string(static_cast<std::size_t>(size), '\0'));
  return payload;
}

/// gRPC does not tell its users whether a message that came was compressed.
template <class Request>
void refuse_to_judge_compression(const Request& request) {
  if (request.has_expect_compressed()) {
    throw rill::status_error{rill::status_code::UNIMPLEMENTED, "expect_compressed is not supported"};
  }
}

void raise_if_asked(const EchoStatus& wanted) {
  if (wanted.code() == 0) return;
  throw rill::status_error{static_cast<rill::status_code>(wanted.code()), wanted.message()};
}

/// Echoes what the client asked for; true if that includes initial metadata.
bool echo_metadata(rill::server_context& context) {
  if (const auto value = context.request_metadata().get(echo_trailing)) {
    context.trailing_metadata().add(echo_trailing, *value);
  }
  const auto initial = context.request_metadata().get(echo_initial);
  if (initial) context.initial_metadata().add(echo_initial, *initial);
  return initial.has_value();
}

rill::task<Empty> empty_call(Empty) { co_return Empty{}; }

rill::task<SimpleResponse> unary_call(rill::server_context& context, SimpleRequest request) {
  echo_metadata(context);
  refuse_to_judge_compression(request);
  raise_if_asked(request.response_status());
  if (request.response_compressed().value()) context.set_compression(rill::compression::gzip);
  if (request.has_orca_per_query_report()) {
    context.trailing_metadata().add("endpoint-load-metrics-bin",
                                    report_of(request.orca_per_query_report()).SerializeAsString());
  }
  SimpleResponse response;
  *response.mutable_payload() = payload_of(request.response_type(), request.response_size());
  if (request.fill_server_id()) response.set_server_id("rill-" + std::to_string(getpid()));
  co_return response;
}

rill::task<StreamingInputCallResponse> streaming_input(rill::reader<StreamingInputCallRequest>& in) {
  StreamingInputCallResponse response;
  while (auto request = co_await in.read()) {
    refuse_to_judge_compression(*request);
    response.set_aggregated_payload_size(response.aggregated_payload_size() +
                                         static_cast<std::int32_t>(request->payload().body().size()));
  }
  co_return response;
}

/// Answers one request: a message for each of its parameters.
rill::task<> answer(const StreamingOutputCallRequest& request,
                    rill::writer<StreamingOutputCallResponse>& out) {
  for (const ResponseParameters& parameters : request.response_parameters()) {
    if (parameters.interval_us() > 0) {
      co_await rill::sleep_for(std::chrono::microseconds{parameters.interval_us()});
    }
    StreamingOutputCallResponse response;
    *response.mutable_payload() = payload_of(request.response_type(), parameters.size());
    co_await out.write(response, {.compress = parameters.compressed().value()});
  }
}

void compress_if_asked(rill::server_context& context, const StreamingOutputCallRequest& request) {
  const auto& all = request.response_parameters();
  if (std::any_of(all.begin(), all.end(), [](const auto& one) { return one.compressed().value(); })) {
    context.set_compression(rill::compression::gzip);
  }
}

rill::task<> streaming_output(rill::server_context& context, StreamingOutputCallRequest request,
                              rill::writer<StreamingOutputCallResponse>& out) {
  compress_if_asked(context, request);
  co_await answer(request, out);
  raise_if_asked(request.response_status());
}

rill::task<> full_duplex(current_load& load, rill::server_context& context,
                         rill::reader<StreamingOutputCallRequest>& in,
                         rill::writer<StreamingOutputCallResponse>& out) {
  const bool initial = echo_metadata(context);
  if (initial) co_await context.send_initial_metadata();
  while (auto request = co_await in.read()) {
    raise_if_asked(request->response_status());
    if (request->has_orca_oob_report()) load.set(report_of(request->orca_oob_report()));
    co_await answer(*request, out);
  }
}

rill::task<> half_duplex(rill::reader<StreamingOutputCallRequest>& in,
                         rill::writer<StreamingOutputCallResponse>& out) {
  std::vector<StreamingOutputCallRequest> requests;
  while (auto request = co_await in.read()) requests.push_back(std::move(*request));
  for (const StreamingOutputCallRequest& request : requests) co_await answer(request, out);
}

/// Reports the load again and again, until the client has enough of it.
rill::async_generator<load_report> report_load(current_load& load, load_request request) {
  const std::chrono::nanoseconds wanted = std::chrono::seconds{request.report_interval().seconds()} +
                                          std::chrono::nanoseconds{request.report_interval().nanos()};
  const std::chrono::nanoseconds interval =
      std::max<std::chrono::nanoseconds>(wanted, std::chrono::milliseconds{100});
  for (;;) {
    co_yield load.get();
    co_await rill::sleep_for(interval);
  }
}

std::shared_ptr<grpc::ServerCredentials> credentials_of(const interop::flags& flags) {
  if (!flags.is_set("use_tls")) return nullptr;
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({flags.file("tls_key_file"), flags.file("tls_cert_file")});
  return grpc::SslServerCredentials(options);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const interop::flags flags{argc, argv};
    current_load load;
    rill::server server;
    server.listen("127.0.0.1:" + flags.text("port", "10000"), credentials_of(flags));
    server.handle<&service::EmptyCall>(empty_call);
    server.handle<&service::UnaryCall>(unary_call);
    server.handle<&service::CacheableUnaryCall>(unary_call);
    server.handle<&service::StreamingInputCall>(streaming_input);
    server.handle<&service::StreamingOutputCall>(streaming_output);
    server.handle<&service::FullDuplexCall>([&load](rill::server_context& context,
                                                    rill::reader<StreamingOutputCallRequest>& in,
                                                    rill::writer<StreamingOutputCallResponse>& out) {
      return full_duplex(load, context, in, out);
    });
    server.handle<&service::HalfDuplexCall>(half_duplex);
    server.handle<&xds::service::orca::v3::OpenRcaService::Service::StreamCoreMetrics>(
        [&load](load_request request) { return report_load(load, std::move(request)); });
    server.start();
    std::cout << "listening on port " << server.port() << std::endl;
    server.run(std::chrono::seconds{2});
  } catch (const std::exception& error) {
    std::cerr << "rill_interop_server: " << error.what() << '\n';
    return 1;
  }
}
