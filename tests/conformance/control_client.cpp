// The control: the same client on gRPC's own synchronous interface. What it fails too is not rill's failure.
#include "connectrpc/conformance/v1/service.grpc.pb.h"
#include "suite.hpp"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <iostream>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace conformance;
using stub = suite::ConformanceService::Stub;

/// Calls under way at once, each on a thread of its own.
constexpr int most_calls = 16;
/// A call that never ends is cancelled, without a deadline: the server would see that.
constexpr std::chrono::seconds longest_call{10};

void pause(std::uint32_t milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds{milliseconds});
}

/// Cancels a call after a while, unless it is destroyed before.
class delayed_cancel {
 public:
  delayed_cancel(grpc::ClientContext& context, std::chrono::milliseconds after)
      : thread_{[this, &context, after] {
          std::unique_lock held{mutex_};
          if (!changed_.wait_for(held, after, [this] { return ended_; })) context.TryCancel();
        }} {}
  delayed_cancel(const delayed_cancel&) = delete;
  delayed_cancel& operator=(const delayed_cancel&) = delete;
  ~delayed_cancel() {
    {
      const std::lock_guard held{mutex_};
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::thread thread_;
};

/// One call of the suite, and what it has seen so far.
class test_call {
 public:
  test_call(const suite::ClientCompatRequest& request, suite::ClientResponseResult& result)
      : request_{request}, result_{result} {
    for_each_header(request.request_headers(), [&](const std::string& name, const std::string& value) {
      context_.AddMetadata(name, value);
    });
    if (request.has_timeout_ms()) {
      context_.set_deadline(std::chrono::system_clock::now() +
                            std::chrono::milliseconds{request.timeout_ms()});
    }
    if (request.compression() == suite::COMPRESSION_GZIP)
      context_.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  }

  void run(stub& service) {
    const delayed_cancel guard{context_, longest_call};
    switch (request_.stream_type()) {
      case suite::STREAM_TYPE_UNARY:
        unary(service);
        break;
      case suite::STREAM_TYPE_CLIENT_STREAM:
        client_stream(service);
        break;
      case suite::STREAM_TYPE_SERVER_STREAM:
        server_stream(service);
        break;
      default:
        bidi_stream(service);
        break;
    }
    for (const auto& [name, value] : context_.GetServerInitialMetadata()) {
      append_header(*result_.mutable_response_headers(), {name.data(), name.size()},
                    {value.data(), value.size()});
    }
    for (const auto& [name, value] : context_.GetServerTrailingMetadata()) {
      append_header(*result_.mutable_response_trailers(), {name.data(), name.size()},
                    {value.data(), value.size()});
    }
  }

 private:
  template <class Message>
  [[nodiscard]] Message message(int index) const {
    Message unpacked;
    request_.request_messages(index).UnpackTo(&unpacked);
    return unpacked;
  }
  void ended(const grpc::Status& status) {
    if (status.ok()) return;
    fill_error(*result_.mutable_error(), status.error_code(), status.error_message(), status.error_details());
  }
  /// Arranges the cancellation that is due once the requests are out.
  [[nodiscard]] std::unique_ptr<delayed_cancel> cancel_after_close() {
    if (!request_.cancel().has_after_close_send_ms()) return nullptr;
    return std::make_unique<delayed_cancel>(
        context_, std::chrono::milliseconds{request_.cancel().after_close_send_ms()});
  }
  void cancel_before_close() {
    if (request_.cancel().has_before_close_send()) context_.TryCancel();
  }
  void cancel_after_responses() {
    if (request_.cancel().has_after_num_responses() && received_ == request_.cancel().after_num_responses()) {
      context_.TryCancel();
    }
  }
  template <class Response, class Stream>
  bool read(Stream& stream) {
    Response response;
    if (!stream.Read(&response)) return false;
    *result_.add_payloads() = response.payload();
    ++received_;
    cancel_after_responses();
    return true;
  }

  void unary(stub& service) {
    pause(request_.request_delay_ms());
    const auto timer = cancel_after_close();
    if (request_.method() == "Unimplemented") {
      suite::UnimplementedResponse response;
      ended(service.Unimplemented(&context_, message<suite::UnimplementedRequest>(0), &response));
      return;
    }
    suite::UnaryResponse response;
    const grpc::Status status = service.Unary(&context_, message<suite::UnaryRequest>(0), &response);
    if (status.ok()) *result_.add_payloads() = response.payload();
    ended(status);
  }

  void client_stream(stub& service) {
    suite::ClientStreamResponse response;
    const auto stream = service.ClientStream(&context_, &response);
    for (int i = 0; i < request_.request_messages_size(); ++i) {
      pause(request_.request_delay_ms());
      if (!stream->Write(message<suite::ClientStreamRequest>(i))) {
        result_.set_num_unsent_requests(request_.request_messages_size() - i);
        break;
      }
    }
    cancel_before_close();
    stream->WritesDone();
    const auto timer = cancel_after_close();
    const grpc::Status status = stream->Finish();
    if (status.ok()) *result_.add_payloads() = response.payload();
    ended(status);
  }

  void server_stream(stub& service) {
    pause(request_.request_delay_ms());
    const auto stream = service.ServerStream(&context_, message<suite::ServerStreamRequest>(0));
    const auto timer = cancel_after_close();
    cancel_after_responses();
    while (read<suite::ServerStreamResponse>(*stream)) {
    }
    ended(stream->Finish());
  }

  void bidi_stream(stub& service) {
    const bool full_duplex = request_.stream_type() == suite::STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM;
    const auto stream = service.BidiStream(&context_);
    cancel_after_responses();
    for (int i = 0; i < request_.request_messages_size(); ++i) {
      pause(request_.request_delay_ms());
      if (!stream->Write(message<suite::BidiStreamRequest>(i))) {
        result_.set_num_unsent_requests(request_.request_messages_size() - i);
        break;
      }
      if (full_duplex && !read<suite::BidiStreamResponse>(*stream)) {
        result_.set_num_unsent_requests(request_.request_messages_size() - i - 1);
        break;
      }
    }
    cancel_before_close();
    stream->WritesDone();
    const auto timer = cancel_after_close();
    while (read<suite::BidiStreamResponse>(*stream)) {
    }
    ended(stream->Finish());
  }

  const suite::ClientCompatRequest& request_;
  suite::ClientResponseResult& result_;
  grpc::ClientContext context_;
  std::uint32_t received_ = 0;
};

std::shared_ptr<grpc::ChannelCredentials> credentials_of(const suite::ClientCompatRequest& request) {
  if (request.server_tls_cert().empty()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = request.server_tls_cert();
  options.pem_cert_chain = request.client_tls_creds().cert();
  options.pem_private_key = request.client_tls_creds().key();
  return grpc::SslCredentials(options);
}

suite::ClientCompatResponse run_test(const suite::ClientCompatRequest& request) {
  suite::ClientCompatResponse response;
  response.set_test_name(request.test_name());
  // gRPC's filter for retries aborts the process when a server ends a call without a status.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(request.message_receive_limit()));
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto channel = grpc::CreateCustomChannel(request.host() + ":" + std::to_string(request.port()),
                                                 credentials_of(request), arguments);
  stub service{channel};
  test_call{request, *response.mutable_response()}.run(service);
  return response;
}

}  // namespace

int main() {
  std::mutex output;
  std::counting_semaphore<most_calls> places{most_calls};
  std::vector<std::thread> calls;
  suite::ClientCompatRequest request;
  while (read_framed(std::cin, request)) {
    places.acquire();
    calls.emplace_back([&output, &places, request] {
      const suite::ClientCompatResponse response = run_test(request);
      {
        const std::lock_guard held{output};
        write_framed(std::cout, response);
      }
      places.release();
    });
    request.Clear();
  }
  for (std::thread& call : calls) call.join();
}
