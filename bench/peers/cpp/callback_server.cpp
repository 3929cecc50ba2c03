// The callback-API peer: reactors as the API's documentation teaches them, on gRPC's own threads.
#include "bench.grpc.pb.h"
#include "common.hpp"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_set>

namespace {

using namespace rill::bench::v1;

struct shared_counts {
  std::atomic<std::uint64_t> unary{0};
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> sent{0};
};

class down_reactor : public grpc::ServerWriteReactor<Payload> {
 public:
  down_reactor(const DownRequest& request, bool hint, shared_counts& counts)
      : left_(request.count()), hint_(hint), counts_(counts) {
    message_.set_data(std::string(request.size(), 'x'));
    next();
  }

  void OnWriteDone(bool ok) override {
    if (ok)
      next();
    else
      Finish(grpc::Status::CANCELLED);
  }

  void OnDone() override { delete this; }

 private:
  void next() {
    if (left_ == 0) return Finish(grpc::Status::OK);
    --left_;
    counts_.sent.fetch_add(1, std::memory_order_relaxed);
    grpc::WriteOptions options;
    if (hint_ && wrote_ && left_ > 0) options.set_buffer_hint();
    wrote_ = true;
    StartWrite(&message_, options);
  }

  std::uint64_t left_;
  bool hint_;
  bool wrote_ = false;
  shared_counts& counts_;
  Payload message_;
};

class up_reactor : public grpc::ServerReadReactor<Payload> {
 public:
  up_reactor(UpSummary* summary, shared_counts& counts) : summary_(summary), counts_(counts) {
    StartRead(&message_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    counts_.received.fetch_add(1, std::memory_order_relaxed);
    summary_->set_messages(summary_->messages() + 1);
    summary_->set_bytes(summary_->bytes() + message_.data().size());
    StartRead(&message_);
  }

  void OnDone() override { delete this; }

 private:
  UpSummary* summary_;
  shared_counts& counts_;
  Payload message_;
};

class echo_reactor : public grpc::ServerBidiReactor<Payload, Payload> {
 public:
  echo_reactor(bool hint, shared_counts& counts) : hint_(hint), counts_(counts) { StartRead(&message_); }

  void OnReadDone(bool ok) override {
    counts_.received.fetch_add(ok, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    reading_ = false;
    if (!ok) {
      ended_ = true;
      return finish_if_idle();
    }
    queue_.emplace_back().Swap(&message_);
    if (!writing_ && !broken_) write();
    if (queue_.size() < capacity) read();
  }

  void OnWriteDone(bool ok) override {
    counts_.sent.fetch_add(ok, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (ok) {
      queue_.pop_front();
      if (!queue_.empty()) write();
    } else {
      broken_ = true;
      queue_.clear();
    }
    if (!reading_ && !ended_ && queue_.size() < capacity) read();
    finish_if_idle();
  }

  void OnDone() override { delete this; }

 private:
  static constexpr std::size_t capacity = 64;

  void read() {
    reading_ = true;
    StartRead(&message_);
  }

  void write() {
    writing_ = true;
    grpc::WriteOptions options;
    if (hint_ && wrote_ && queue_.size() > 1) options.set_buffer_hint();
    wrote_ = true;
    StartWrite(&queue_.front(), options);
  }

  void finish_if_idle() {
    if (ended_ && !reading_ && !writing_) Finish(grpc::Status::OK);
  }

  const bool hint_;
  shared_counts& counts_;
  std::mutex mutex_;
  Payload message_;
  std::deque<Payload> queue_;
  bool reading_ = true;
  bool writing_ = false;
  bool wrote_ = false;
  bool ended_ = false;
  bool broken_ = false;
};

class hub;

class subscribe_reactor : public grpc::ServerWriteReactor<Event> {
 public:
  explicit subscribe_reactor(hub& events);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { delete this; }

 private:
  friend class hub;

  void write();
  void finish();

  hub& events_;
  std::deque<std::shared_ptr<const Event>> queue_;  // this and what follows belong to the hub's lock
  bool writing_ = false;
  bool wrote_ = false;
  bool finished_ = false;
};

/// All subscribers, and the publication that goes on. A publication pauses while any subscriber's queue is full.
class hub {
 public:
  hub(const bench::server_flags& flags, shared_counts& counts) : flags_(flags), counts_(counts) {}

  std::mutex& mutex() { return mutex_; }
  shared_counts& counts() { return counts_; }
  bool hint() const { return flags_.hint; }

  void add(subscribe_reactor& subscriber) {
    subscribers_.insert(&subscriber);
    push(subscriber, std::make_shared<const Event>());
  }

  void remove(subscribe_reactor& subscriber) {
    if (subscribers_.erase(&subscriber) == 0) return;
    if (subscriber.queue_.size() >= flags_.capacity) --full_;
    resume();
  }

  void popped(subscribe_reactor& subscriber) {
    if (subscriber.queue_.size() + 1 != flags_.capacity) return;
    --full_;
    resume();
  }

  void publish(const PublishRequest& request, PublishReply& reply, grpc::ServerUnaryReactor& reactor) {
    const std::lock_guard lock(mutex_);
    if (publisher_ != nullptr) {
      return reactor.Finish({grpc::StatusCode::FAILED_PRECONDITION, "a publication is going on"});
    }
    publisher_ = &reactor;
    reply_ = &reply;
    left_ = request.count();
    event_.Clear();
    bench::fill_event(event_, request.size());
    resume();
  }

 private:
  void push(subscribe_reactor& subscriber, std::shared_ptr<const Event> event) {
    subscriber.queue_.push_back(std::move(event));
    if (subscriber.queue_.size() == flags_.capacity) ++full_;
    if (!subscriber.writing_) subscriber.write();
  }

  void resume() {
    if (publisher_ == nullptr) return;
    for (; left_ > 0 && full_ == 0; --left_) {
      event_.set_sequence(event_.sequence() + 1);
      const auto made = std::make_shared<const Event>(event_);
      for (subscribe_reactor* subscriber : subscribers_) push(*subscriber, made);
    }
    if (left_ > 0) return;
    reply_->set_subscribers(subscribers_.size());
    publisher_->Finish(grpc::Status::OK);
    publisher_ = nullptr;
  }

  const bench::server_flags& flags_;
  shared_counts& counts_;
  std::mutex mutex_;
  std::unordered_set<subscribe_reactor*> subscribers_;
  std::size_t full_ = 0;
  grpc::ServerUnaryReactor* publisher_ = nullptr;
  PublishReply* reply_ = nullptr;
  std::uint64_t left_ = 0;
  Event event_;
};

subscribe_reactor::subscribe_reactor(hub& events) : events_(events) {
  const std::lock_guard lock(events_.mutex());
  events_.add(*this);
}

void subscribe_reactor::write() {
  writing_ = true;
  grpc::WriteOptions options;
  if (events_.hint() && wrote_ && queue_.size() > 1) options.set_buffer_hint();
  wrote_ = true;
  StartWrite(queue_.front().get(), options);
}

void subscribe_reactor::OnWriteDone(bool ok) {
  const std::lock_guard lock(events_.mutex());
  writing_ = false;
  if (!ok) return finish();
  events_.counts().sent.fetch_add(1, std::memory_order_relaxed);
  queue_.pop_front();
  events_.popped(*this);
  if (!finished_ && !writing_ && !queue_.empty()) write();
}

void subscribe_reactor::OnCancel() {
  const std::lock_guard lock(events_.mutex());
  if (!writing_) finish();
}

void subscribe_reactor::finish() {
  if (finished_) return;
  finished_ = true;
  writing_ = true;
  events_.remove(*this);
  Finish(grpc::Status::CANCELLED);
}

class bench_service final : public Bench::CallbackService {
 public:
  bench_service(const bench::server_flags& flags, shared_counts& counts)
      : flags_(flags), counts_(counts), events_(flags, counts) {}

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Payload* request,
                                  Payload* reply) override {
    counts_.unary.fetch_add(1, std::memory_order_relaxed);
    reply->set_data(request->data());
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerWriteReactor<Payload>* Down(grpc::CallbackServerContext*, const DownRequest* request) override {
    return new down_reactor(*request, flags_.hint, counts_);
  }

  grpc::ServerReadReactor<Payload>* Up(grpc::CallbackServerContext*, UpSummary* summary) override {
    return new up_reactor(summary, counts_);
  }

  grpc::ServerBidiReactor<Payload, Payload>* Echo(grpc::CallbackServerContext*) override {
    return new echo_reactor(flags_.hint, counts_);
  }

  grpc::ServerWriteReactor<Event>* Subscribe(grpc::CallbackServerContext*, const SubscribeRequest*) override {
    return new subscribe_reactor(events_);
  }

  grpc::ServerUnaryReactor* Publish(grpc::CallbackServerContext* context, const PublishRequest* request,
                                    PublishReply* reply) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    events_.publish(*request, *reply, *reactor);
    return reactor;
  }

 private:
  const bench::server_flags& flags_;
  shared_counts& counts_;
  hub events_;
};

}  // namespace

int main(int argc, char** argv) {
  const bench::server_flags flags = bench::parse_server_flags(argc, argv);
  bench::block_stop_signals();
  shared_counts counts;
  bench_service service(flags, counts);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(flags.port), grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  if (flags.window > 0) {
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, flags.window);
  }
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || port == 0) return 1;
  bench::wait_for_stop(port, flags.lifetime);
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  server->Wait();
  bench::server_counts{counts.unary.load(), counts.received.load(), counts.sent.load()}.print();
}
