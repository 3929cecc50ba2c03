// The client under test, by rill's public interface only. Each request of the suite is one call; calls run at once.
#include "connectrpc/conformance/v1/service.grpc.pb.h"
#include "suite.hpp"

#include <rill/rill.hpp>

#include <grpcpp/security/credentials.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace {

using namespace conformance;
using namespace std::chrono_literals;
using service = suite::ConformanceService::Service;

/// Milliseconds. A call that never ends is cancelled, without a deadline: the server would see that.
constexpr std::uint32_t longest_call = 10'000;

/// One call of the suite, and what it has seen so far.
struct test_call {
  suite::ClientCompatRequest request;
  suite::ClientResponseResult result;
  rill::metadata headers;
  rill::call_options options;

  template <class Message>
  [[nodiscard]] Message message(int index) const {
    Message unpacked;
    request.request_messages(index).UnpackTo(&unpacked);
    return unpacked;
  }
  void fail(const rill::status& status) {
    fill_error(*result.mutable_error(), status.error_code(), status.error_message(), status.error_details());
  }
  void take_headers(const rill::metadata& from) {
    for (const auto& [name, value] : from) append_header(*result.mutable_response_headers(), name, value);
  }
  void take_trailers(const rill::metadata& from) {
    for (const auto& [name, value] : from) append_header(*result.mutable_response_trailers(), name, value);
  }
};

rill::task<> pause(std::uint32_t milliseconds) {
  if (milliseconds == 0) co_return;
  co_await rill::sleep_for(std::chrono::milliseconds{milliseconds});
}

rill::task<> cancel_after(std::uint32_t milliseconds, rill::cancellation_source& stop) {
  co_await pause(milliseconds);
  stop.cancel();
}

/// Awaits a unary call, and cancels it after the test's delay.
template <class Call>
rill::task<> unary_with(test_call& test, Call call) {
  rill::cancellation_source stop;
  try {
    co_await rill::task_scope::run([&](rill::task_scope& scope) -> rill::task<> {
      const auto& cancel = test.request.cancel();
      const std::uint32_t end =
          cancel.has_after_close_send_ms() ? cancel.after_close_send_ms() : longest_call;
      scope.spawn_background([&stop, end] { return cancel_after(end, stop); });
      auto response = co_await rill::with_cancellation(stop.token(), rill::as_result(call));
      if (!response) {
        test.fail(response.status());
      } else if constexpr (requires { response->payload(); }) {
        *test.result.add_payloads() = response->payload();
      }
    });
  } catch (const rill::operation_cancelled&) {
    test.fail({rill::status_code::CANCELLED, "cancelled"});
  }
  test.take_headers(call.initial_metadata());
  test.take_trailers(call.trailing_metadata());
}

rill::task<> unary(rill::client& client, test_call& test) {
  co_await pause(test.request.request_delay_ms());
  if (test.request.method() == "Unimplemented") {
    const auto message = test.message<suite::UnimplementedRequest>(0);
    co_await unary_with(test, client.call<&service::Unimplemented>(message, test.options));
  } else {
    const auto message = test.message<suite::UnaryRequest>(0);
    co_await unary_with(test, client.call<&service::Unary>(message, test.options));
  }
}

/// Cancels a stream as the test wants it, once its requests are out.
template <class Stream>
rill::task<> cancel_at_half_close(Stream& stream, const suite::ClientCompatRequest& request) {
  if (request.cancel().has_before_close_send()) {
    stream.cancel();
  } else if (request.cancel().has_after_close_send_ms()) {
    co_await pause(request.cancel().after_close_send_ms());
    stream.cancel();
  }
}

/// Writes every request; false, and how many were left counted, if the call ended before.
template <class Message, class Stream>
rill::task<bool> write_requests(Stream& stream, test_call& test) {
  const int count = test.request.request_messages_size();
  for (int i = 0; i < count; ++i) {
    co_await pause(test.request.request_delay_ms());
    bool written = false;
    try {
      const Message message = test.message<Message>(i);
      written = co_await stream.write(message);
    } catch (const rill::status_error&) {
      // The status is taken when the call is finished.
    }
    if (!written) {
      test.result.set_num_unsent_requests(count - i);
      co_return false;
    }
  }
  co_return true;
}

/// Reads to the end, or until the test wants the call cancelled.
template <class Stream>
rill::task<> read_responses(Stream& stream, test_call& test) {
  const auto& cancel = test.request.cancel();
  std::uint32_t received = 0;
  if (cancel.has_after_num_responses() && cancel.after_num_responses() == 0) stream.cancel();
  while (auto response = co_await stream.read()) {
    *test.result.add_payloads() = response->payload();
    if (cancel.has_after_num_responses() && ++received == cancel.after_num_responses()) stream.cancel();
  }
}

template <class Stream>
rill::task<> take_metadata(Stream& stream, test_call& test) {
  test.take_headers(co_await stream.initial_metadata());
  test.take_trailers(stream.trailing_metadata());
}

rill::task<> client_stream(rill::client& client, test_call& test) {
  auto stream = client.call<&service::ClientStream>(test.options);
  co_await write_requests<suite::ClientStreamRequest>(stream, test);
  try {
    if (test.request.has_cancel()) {
      if (test.request.cancel().has_before_close_send()) stream.cancel();
      co_await rill::task_scope::run([&](rill::task_scope& scope) -> rill::task<> {
        scope.spawn_background([&] { return cancel_at_half_close(stream, test.request); });
        auto response = co_await stream.finish();
        *test.result.add_payloads() = response.payload();
      });
    } else {
      auto response = co_await stream.finish();
      *test.result.add_payloads() = response.payload();
    }
  } catch (const rill::status_error& error) {
    test.fail(error.status());
  }
  co_await take_metadata(stream, test);
}

rill::task<> server_stream(rill::client& client, test_call& test) {
  co_await pause(test.request.request_delay_ms());
  const auto message = test.message<suite::ServerStreamRequest>(0);
  auto stream = client.call<&service::ServerStream>(message, test.options);
  try {
    co_await rill::task_scope::run([&](rill::task_scope& scope) -> rill::task<> {
      if (test.request.cancel().has_after_close_send_ms()) {
        scope.spawn_background([&] { return cancel_at_half_close(stream, test.request); });
      }
      co_await read_responses(stream, test);
    });
  } catch (const rill::status_error& error) {
    test.fail(error.status());
  }
  co_await take_metadata(stream, test);
}

rill::task<> half_duplex(rill::client& client, test_call& test) {
  auto stream = client.call<&service::BidiStream>(test.options);
  try {
    co_await write_requests<suite::BidiStreamRequest>(stream, test);
    if (test.request.cancel().has_before_close_send()) stream.cancel();
    co_await rill::task_scope::run([&](rill::task_scope& scope) -> rill::task<> {
      co_await stream.writes_done();
      if (test.request.cancel().has_after_close_send_ms()) {
        scope.spawn_background([&] { return cancel_at_half_close(stream, test.request); });
      }
      co_await read_responses(stream, test);
    });
  } catch (const rill::status_error& error) {
    test.fail(error.status());
  }
  co_await take_metadata(stream, test);
}

/// One request, one response, and so on.
rill::task<> full_duplex(rill::client& client, test_call& test) {
  auto stream = client.call<&service::BidiStream>(test.options);
  const auto& cancel = test.request.cancel();
  const int count = test.request.request_messages_size();
  std::uint32_t received = 0;
  try {
    if (cancel.has_after_num_responses() && cancel.after_num_responses() == 0) stream.cancel();
    bool open = true;
    for (int i = 0; i < count && open; ++i) {
      co_await pause(test.request.request_delay_ms());
      const auto message = test.message<suite::BidiStreamRequest>(i);
      bool written = false;
      try {
        written = co_await stream.write(message);
      } catch (const rill::status_error&) {
        // The status is taken by the read.
      }
      if (!written) {
        test.result.set_num_unsent_requests(count - i);
        break;
      }
      auto response = co_await stream.read();
      open = response.has_value();
      if (!open) {
        test.result.set_num_unsent_requests(count - i - 1);
        break;
      }
      *test.result.add_payloads() = response->payload();
      if (cancel.has_after_num_responses() && ++received == cancel.after_num_responses()) stream.cancel();
    }
    if (cancel.has_before_close_send()) stream.cancel();
    co_await rill::task_scope::run([&](rill::task_scope& scope) -> rill::task<> {
      co_await stream.writes_done();
      if (cancel.has_after_close_send_ms()) {
        scope.spawn_background([&] { return cancel_at_half_close(stream, test.request); });
      }
      while (auto response = co_await stream.read()) {
        *test.result.add_payloads() = response->payload();
        if (cancel.has_after_num_responses() && ++received == cancel.after_num_responses()) stream.cancel();
      }
    });
  } catch (const rill::status_error& error) {
    test.fail(error.status());
  }
  co_await take_metadata(stream, test);
}

std::shared_ptr<grpc::ChannelCredentials> credentials_of(const suite::ClientCompatRequest& request) {
  if (request.server_tls_cert().empty()) return nullptr;
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = request.server_tls_cert();
  options.pem_cert_chain = request.client_tls_creds().cert();
  options.pem_private_key = request.client_tls_creds().key();
  return grpc::SslCredentials(options);
}

rill::task<suite::ClientCompatResponse> run_test(suite::ClientCompatRequest request) {
  suite::ClientCompatResponse response;
  response.set_test_name(request.test_name());
  test_call test;
  test.request = std::move(request);
  for_each_header(test.request.request_headers(),
                  [&](const std::string& name, const std::string& value) { test.headers.add(name, value); });
  test.options.metadata = &test.headers;
  if (test.request.has_timeout_ms()) {
    test.options.deadline =
        std::chrono::steady_clock::now() + std::chrono::milliseconds{test.request.timeout_ms()};
  }
  if (test.request.compression() == suite::COMPRESSION_GZIP)
    test.options.compression = rill::compression::gzip;

  // gRPC's filter for retries aborts the process when a server ends a call without a status.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  rill::client client{test.request.host() + ":" + std::to_string(test.request.port()),
                      credentials_of(test.request),
                      {.max_receive_size = test.request.message_receive_limit(), .own_connection = true},
                      arguments};
  switch (test.request.stream_type()) {
    case suite::STREAM_TYPE_UNARY:
      co_await unary(client, test);
      break;
    case suite::STREAM_TYPE_CLIENT_STREAM:
      co_await client_stream(client, test);
      break;
    case suite::STREAM_TYPE_SERVER_STREAM:
      co_await server_stream(client, test);
      break;
    case suite::STREAM_TYPE_HALF_DUPLEX_BIDI_STREAM:
      co_await half_duplex(client, test);
      break;
    case suite::STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM:
      co_await full_duplex(client, test);
      break;
    default:
      response.mutable_error()->set_message("unknown stream type");
      co_return response;
  }
  *response.mutable_response() = std::move(test.result);
  co_return response;
}

/// Bounds the tests that are under way, and writes one response at a time.
class reporter {
 public:
  void begin() {
    std::unique_lock held{mutex_};
    changed_.wait(held, [this] { return running_ < most_running; });
    ++running_;
  }
  void end(const suite::ClientCompatResponse& response) {
    const std::lock_guard held{mutex_};
    write_framed(std::cout, response);
    --running_;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock held{mutex_};
    changed_.wait(held, [this] { return running_ == 0; });
  }

 private:
  static constexpr int most_running = 16;

  std::mutex mutex_;
  std::condition_variable changed_;
  int running_ = 0;
};

rill::task<> run_and_report(suite::ClientCompatRequest request, reporter& results) {
  suite::ClientCompatResponse response;
  const std::string name = request.test_name();
  try {
    response = co_await run_test(std::move(request));
  } catch (const std::exception& error) {
    response.set_test_name(name);
    response.mutable_error()->set_message(error.what());
  } catch (const rill::operation_cancelled& error) {
    response.set_test_name(name);
    response.mutable_error()->set_message(error.what());
  }
  results.end(response);
}

}  // namespace

int main() {
  rill::runtime runtime{2};
  reporter results;
  suite::ClientCompatRequest request;
  while (read_framed(std::cin, request)) {
    results.begin();
    rill::spawn(runtime.next(), run_and_report(std::move(request), results));
    request.Clear();
  }
  results.wait();
}
