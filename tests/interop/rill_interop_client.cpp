// gRPC's interoperability client by rill's public interface: rill_interop_client --test_case=NAME
// [--server_host=H --server_port=N --use_tls --use_test_ca --ca_file=F --server_host_override=NAME --soak_...=N].
#include "flags.hpp"
#include "test.grpc.pb.h"

#include <rill/rill.hpp>

#include <grpcpp/security/credentials.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace {

using namespace grpc::testing;
using namespace std::chrono_literals;
using service = TestService::Service;
using output_stream = rill::bidi_stream<StreamingOutputCallRequest, StreamingOutputCallResponse>;

constexpr std::array request_sizes{27182, 8, 1828, 45904};
constexpr std::array response_sizes{31415, 9, 2653, 58979};

void expect(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error{"expected " + what};
}
void expect_code(const rill::status& got, rill::status_code wanted) {
  expect(got.error_code() == wanted, std::string{rill::to_string(wanted)} + ", got " +
                                         rill::to_string(got.error_code()) + ": " + got.error_message());
}
void expect_size(const Payload& payload, std::size_t wanted) {
  expect(payload.type() == COMPRESSABLE, "a compressable payload");
  expect(payload.body().size() == wanted,
         std::to_string(wanted) + " bytes, got " + std::to_string(payload.body().size()));
}

Payload zeros(int size) {
  Payload payload;
  payload.set_body(std::string(static_cast<std::size_t>(size), '\0'));
  return payload;
}

/// How to reach the server.
struct target {
  explicit target(const interop::flags& from)
      : flags{from},
        address{from.text("server_host", "localhost") + ":" + from.text("server_port", "10000")} {
    if (!flags.is_set("use_tls")) return;
    grpc::SslCredentialsOptions options;
    if (flags.is_set("use_test_ca")) options.pem_root_certs = flags.file("ca_file");
    credentials = grpc::SslCredentials(options);
  }

  [[nodiscard]] rill::client connect(bool own_connection = false) const {
    grpc::ChannelArguments arguments;
    const std::string name = flags.text("server_host_override");
    if (!name.empty()) arguments.SetSslTargetNameOverride(name);
    return rill::client{address, credentials, {.own_connection = own_connection}, arguments};
  }

  const interop::flags& flags;
  std::string address;
  std::shared_ptr<grpc::ChannelCredentials> credentials;
};

SimpleRequest large_request(int request_size = 271828, int response_size = 314159) {
  SimpleRequest request;
  request.set_response_size(response_size);
  *request.mutable_payload() = zeros(request_size);
  return request;
}

rill::task<> empty_unary(const target& to) {
  const rill::client client = to.connect();
  const Empty request;
  const Empty response = co_await client.call<&service::EmptyCall>(request);
  expect(response.ByteSizeLong() == 0, "an empty response");
}

rill::task<> large_unary(const target& to) {
  const rill::client client = to.connect();
  const SimpleRequest request = large_request();
  const SimpleResponse response = co_await client.call<&service::UnaryCall>(request);
  expect_size(response.payload(), 314159);
}

rill::task<> client_streaming(const target& to) {
  const rill::client client = to.connect();
  auto call = client.call<&service::StreamingInputCall>();
  for (const int size : request_sizes) {
    StreamingInputCallRequest request;
    *request.mutable_payload() = zeros(size);
    const bool open = co_await call.write(request);
    expect(open, "an open stream");
  }
  const StreamingInputCallResponse response = co_await call.finish();
  expect(response.aggregated_payload_size() == 74922, "74922 bytes in all");
}

rill::task<> server_streaming(const target& to) {
  const rill::client client = to.connect();
  StreamingOutputCallRequest request;
  for (const int size : response_sizes) request.add_response_parameters()->set_size(size);
  auto call = client.call<&service::StreamingOutputCall>(request);
  std::size_t count = 0;
  while (auto response = co_await call.read()) {
    expect(count < response_sizes.size(), "no more responses");
    expect_size(response->payload(), static_cast<std::size_t>(response_sizes[count++]));
  }
  expect(count == response_sizes.size(), "four responses");
}

StreamingOutputCallRequest ask_for(int request_size, int response_size) {
  StreamingOutputCallRequest request;
  request.add_response_parameters()->set_size(response_size);
  *request.mutable_payload() = zeros(request_size);
  return request;
}

/// Writes one request and reads its one response.
rill::task<> exchange(output_stream& call, int request_size, int response_size) {
  const StreamingOutputCallRequest request = ask_for(request_size, response_size);
  const bool open = co_await call.write(request);
  expect(open, "an open stream");
  const auto response = co_await call.read();
  expect(response.has_value(), "a response");
  expect_size(response->payload(), static_cast<std::size_t>(response_size));
}

/// Half-closes; then there is nothing but the end.
rill::task<> expect_end(output_stream& call) {
  co_await call.writes_done();
  const auto more = co_await call.read();
  expect(!more, "the end of the stream");
}

rill::task<> ping_pong(const target& to) {
  const rill::client client = to.connect();
  auto call = client.call<&service::FullDuplexCall>();
  for (std::size_t i = 0; i < request_sizes.size(); ++i) {
    co_await exchange(call, request_sizes[i], response_sizes[i]);
  }
  co_await expect_end(call);
}

rill::task<> empty_stream(const target& to) {
  const rill::client client = to.connect();
  auto call = client.call<&service::FullDuplexCall>();
  co_await expect_end(call);
}

void expect_echo(const rill::metadata& initial, const rill::metadata& trailing) {
  expect(initial.get("x-grpc-test-echo-initial") == "test_initial_metadata_value", "the initial metadata");
  expect(trailing.get("x-grpc-test-echo-trailing-bin") == "\xab\xab\xab", "the trailing metadata");
}

rill::task<> custom_metadata(const target& to) {
  const rill::client client = to.connect();
  const rill::metadata headers{{"x-grpc-test-echo-initial", "test_initial_metadata_value"},
                               {"x-grpc-test-echo-trailing-bin", "\xab\xab\xab"}};
  const SimpleRequest request = large_request();
  auto unary = client.call<&service::UnaryCall>(request, {.metadata = &headers});
  const SimpleResponse response = co_await unary;
  expect_size(response.payload(), 314159);
  expect_echo(unary.initial_metadata(), unary.trailing_metadata());

  auto stream = client.call<&service::FullDuplexCall>({.metadata = &headers});
  co_await exchange(stream, 271828, 314159);
  co_await expect_end(stream);
  expect_echo(co_await stream.initial_metadata(), stream.trailing_metadata());
}

rill::task<> expect_status(const target& to, rill::status_code code, std::string message, bool stream_too) {
  const rill::client client = to.connect();
  SimpleRequest request;
  request.mutable_response_status()->set_code(code);
  request.mutable_response_status()->set_message(message);
  const auto unary = co_await rill::as_result(client.call<&service::UnaryCall>(request));
  expect_code(unary.status(), code);
  expect(unary.status().error_message() == message, "the message of the unary call's status");
  if (!stream_too) co_return;

  StreamingOutputCallRequest first;
  *first.mutable_response_status() = request.response_status();
  auto call = client.call<&service::FullDuplexCall>();
  co_await call.write(first);
  const auto ended = co_await rill::as_result(call.finish());
  expect_code(ended.status(), code);
  expect(ended.status().error_message() == message, "the message of the stream's status");
}

rill::task<> status_code_and_message(const target& to) {
  co_await expect_status(to, rill::status_code::UNKNOWN, "test status message", true);
}

rill::task<> special_status_message(const target& to) {
  co_await expect_status(to, rill::status_code::UNKNOWN,
                         "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n",
                         false);
}

rill::task<> unimplemented_method(const target& to) {
  const rill::client client = to.connect();
  const Empty request;
  const auto response = co_await rill::as_result(client.call<&service::UnimplementedCall>(request));
  expect_code(response.status(), rill::status_code::UNIMPLEMENTED);
}

rill::task<> unimplemented_service(const target& to) {
  const rill::client client = to.connect();
  const Empty request;
  const auto response =
      co_await rill::as_result(client.call<&UnimplementedService::Service::UnimplementedCall>(request));
  expect_code(response.status(), rill::status_code::UNIMPLEMENTED);
}

rill::task<> cancel_after_begin(const target& to) {
  const rill::client client = to.connect();
  auto call = client.call<&service::StreamingInputCall>();
  co_await call.flush();  // opens the call
  call.cancel();
  const auto ended = co_await rill::as_result(call.finish());
  expect_code(ended.status(), rill::status_code::CANCELLED);
}

rill::task<> cancel_after_first_response(const target& to) {
  const rill::client client = to.connect();
  auto call = client.call<&service::FullDuplexCall>();
  co_await exchange(call, request_sizes[0], response_sizes[0]);
  call.cancel();
  const auto ended = co_await rill::as_result(call.finish());
  expect_code(ended.status(), rill::status_code::CANCELLED);
}

rill::task<> write_and_wait(output_stream& call) {
  StreamingOutputCallRequest request = ask_for(27182, 31415);
  request.clear_response_parameters();  // so the server has nothing to answer
  co_await call.write(request);
  co_await call.read();
}

rill::task<> timeout_on_sleeping_server(const target& to) {
  const rill::client client = to.connect();
  auto call = client.call<&service::FullDuplexCall>({.timeout = 1ms});
  const auto ended = co_await rill::as_result(write_and_wait(call));
  expect_code(ended.status(), rill::status_code::DEADLINE_EXCEEDED);
}

rill::task<> pick_first_unary(const target& to) {
  const rill::client client = to.connect();
  std::string server;
  for (int i = 0; i < 100; ++i) {
    SimpleRequest request;
    request.set_fill_server_id(true);
    const SimpleResponse response = co_await client.call<&service::UnaryCall>(request);
    expect(!response.server_id().empty(), "a server's id");
    if (i == 0) server = response.server_id();
    expect(response.server_id() == server, "one server");
  }
}

/// Calls that go on for a while, over one connection or one for each call.
class soak {
 public:
  soak(const target& to, bool connect_each) : to_{to}, connect_each_{connect_each} {}

  rill::task<> run() {
    const auto overall = std::chrono::seconds{to_.flags.number("soak_overall_timeout_seconds", 10)};
    const rill::client shared = to_.connect();
    auto body = [&](rill::task_scope& scope) -> rill::task<> {
      const int callers = to_.flags.number("soak_num_threads", 1);
      for (int i = 0; i < callers; ++i) scope.spawn(caller(shared));
      co_return;
    };
    co_await rill::with_timeout(overall, rill::task_scope::run(body));
    std::cout << "soak: " << iterations_ << " calls, " << failures_ << " failures\n";
    expect(failures_ <= to_.flags.number("soak_max_failures", 0), "fewer failures");
  }

 private:
  rill::task<> caller(const rill::client& shared) {
    const SimpleRequest request = large_request(to_.flags.number("soak_request_size", 271828),
                                                to_.flags.number("soak_response_size", 314159));
    const std::chrono::milliseconds longest{
        to_.flags.number("soak_per_iteration_max_acceptable_latency_ms", 1000)};
    while (iterations_ < to_.flags.number("soak_iterations", 10)) {
      ++iterations_;
      const rill::client client = connect_each_ ? to_.connect(true) : shared;
      const auto began = std::chrono::steady_clock::now();
      const auto response = co_await rill::as_result(client.call<&service::UnaryCall>(request));
      if (!response.ok() || std::chrono::steady_clock::now() - began > longest) {
        ++failures_;
        std::cerr << "soak: a call failed or was late: " << response.status().error_message() << '\n';
      }
    }
  }

  const target& to_;
  bool connect_each_;
  int iterations_ = 0;
  int failures_ = 0;
};

rill::task<> rpc_soak(const target& to) {
  soak calls{to, false};
  co_await calls.run();
}

rill::task<> channel_soak(const target& to) {
  soak calls{to, true};
  co_await calls.run();
}

using test_case = rill::task<> (*)(const target&);
const std::map<std::string, test_case, std::less<>> cases{
    {"cancel_after_begin", cancel_after_begin},
    {"cancel_after_first_response", cancel_after_first_response},
    {"channel_soak", channel_soak},
    {"client_streaming", client_streaming},
    {"custom_metadata", custom_metadata},
    {"empty_stream", empty_stream},
    {"empty_unary", empty_unary},
    {"large_unary", large_unary},
    {"pick_first_unary", pick_first_unary},
    {"ping_pong", ping_pong},
    {"rpc_soak", rpc_soak},
    {"server_streaming", server_streaming},
    {"special_status_message", special_status_message},
    {"status_code_and_message", status_code_and_message},
    {"timeout_on_sleeping_server", timeout_on_sleeping_server},
    {"unimplemented_method", unimplemented_method},
    {"unimplemented_service", unimplemented_service},
};

}  // namespace

int main(int argc, char** argv) {
  try {
    const interop::flags flags{argc, argv};
    const std::string name = flags.text("test_case", "large_unary");
    const auto found = cases.find(name);
    if (found == cases.end()) {
      std::cerr << "rill_interop_client: there is no test case \"" << name << "\"\n";
      return 2;
    }
    const target to{flags};
    rill::sync_wait(found->second(to));
    std::cout << name << ": passed\n";
  } catch (const std::exception& error) {
    std::cerr << "rill_interop_client: failed: " << error.what() << '\n';
    return 1;
  } catch (const rill::operation_cancelled& error) {
    std::cerr << "rill_interop_client: failed: " << error.what() << '\n';
    return 1;
  }
}
