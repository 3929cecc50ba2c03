// The hand-written peer: a completion-queue server as its best users write one.
// One thread a queue, 100 requests posted for each method and queue, call objects and messages reused; --mode hint
// batches the writes of a stream whenever another message is known to follow.
#include "bench.grpc.pb.h"
#include "common.hpp"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace {

using namespace rill::bench::v1;

using bench_service = Bench::WithAsyncMethod_Unary<
    Bench::WithAsyncMethod_Down<Bench::WithAsyncMethod_Up<Bench::WithAsyncMethod_Echo<
        Bench::WithRawMethod_Subscribe<Bench::WithAsyncMethod_Publish<Bench::Service>>>>>>;

constexpr int posted_by_default = 100;

struct tag {
  void (*fire)(void* call, bool ok);
  void* call;
};

template <auto Member, typename Call>
tag make_tag(Call* call) {
  return {[](void* self, bool ok) { (static_cast<Call*>(self)->*Member)(ok); }, call};
}

class hub;

/// What the calls of one queue share; everything in it belongs to the queue's thread.
struct loop {
  bench_service& service;
  grpc::ServerCompletionQueue& queue;
  const bench::server_flags& flags;
  hub& events;
  bench::server_counts counts{};
  int live = 0;  // call objects that wait for a tag, posted requests included
};

/// The spare objects of one type of call on one queue.
template <typename Call>
class pool {
 public:
  explicit pool(loop& home, int posted) : home_(home) {
    for (int i = 0; i < posted; ++i) post();
  }

  void post() {
    if (spare_.empty()) {
      all_.push_back(std::make_unique<Call>(home_, *this));
      spare_.push_back(all_.back().get());
    }
    Call* call = spare_.back();
    spare_.pop_back();
    ++home_.live;
    call->request();
  }

  void give_back(Call* call) {
    --home_.live;
    spare_.push_back(call);
  }

 private:
  loop& home_;
  std::vector<std::unique_ptr<Call>> all_;
  std::vector<Call*> spare_;
};

class unary_call {
 public:
  unary_call(loop& home, pool<unary_call>& calls) : home_(home), calls_(calls) {}

  void request() {
    context_.emplace();
    responder_.emplace(&*context_);
    home_.service.RequestUnary(&*context_, &request_, &*responder_, &home_.queue, &home_.queue, &requested_);
  }

 private:
  void on_requested(bool ok) {
    if (!ok) return retire();
    calls_.post();
    reply_.mutable_data()->swap(*request_.mutable_data());
    responder_->Finish(reply_, grpc::Status::OK, &finished_);
  }

  void on_finished(bool) {
    ++home_.counts.unary;
    retire();
  }

  void retire() {
    responder_.reset();
    context_.reset();
    calls_.give_back(this);
  }

  loop& home_;
  pool<unary_call>& calls_;
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncResponseWriter<Payload>> responder_;
  Payload request_;
  Payload reply_;
  tag requested_ = make_tag<&unary_call::on_requested>(this);
  tag finished_ = make_tag<&unary_call::on_finished>(this);
};

class down_call {
 public:
  down_call(loop& home, pool<down_call>& calls) : home_(home), calls_(calls) {}

  void request() {
    context_.emplace();
    writer_.emplace(&*context_);
    home_.service.RequestDown(&*context_, &request_, &*writer_, &home_.queue, &home_.queue, &requested_);
  }

 private:
  void on_requested(bool ok) {
    if (!ok) return retire();
    calls_.post();
    message_.mutable_data()->assign(request_.size(), 'x');
    index_ = 0;
    write();
  }

  void write() {
    const std::uint64_t left = request_.count() - index_;
    if (left == 0) return writer_->Finish(grpc::Status::OK, &finished_);
    ++index_;
    ++home_.counts.sent;
    if (!home_.flags.hint) return writer_->Write(message_, &written_);
    if (left == 1) return writer_->WriteAndFinish(message_, {}, grpc::Status::OK, &finished_);
    grpc::WriteOptions options;
    if (index_ > 1) options.set_buffer_hint();  // the first write takes the metadata along and must not wait
    writer_->Write(message_, options, &written_);
  }

  void on_written(bool ok) {
    if (ok)
      write();
    else
      writer_->Finish(grpc::Status::CANCELLED, &finished_);
  }

  void on_finished(bool) { retire(); }

  void retire() {
    writer_.reset();
    context_.reset();
    calls_.give_back(this);
  }

  loop& home_;
  pool<down_call>& calls_;
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncWriter<Payload>> writer_;
  DownRequest request_;
  Payload message_;
  std::uint64_t index_ = 0;
  tag requested_ = make_tag<&down_call::on_requested>(this);
  tag written_ = make_tag<&down_call::on_written>(this);
  tag finished_ = make_tag<&down_call::on_finished>(this);
};

class up_call {
 public:
  up_call(loop& home, pool<up_call>& calls) : home_(home), calls_(calls) {}

  void request() {
    context_.emplace();
    reader_.emplace(&*context_);
    summary_.Clear();
    home_.service.RequestUp(&*context_, &*reader_, &home_.queue, &home_.queue, &requested_);
  }

 private:
  void on_requested(bool ok) {
    if (!ok) return retire();
    calls_.post();
    reader_->Read(&message_, &read_);
  }

  void on_read(bool ok) {
    if (!ok) return reader_->Finish(summary_, grpc::Status::OK, &finished_);
    ++home_.counts.received;
    summary_.set_messages(summary_.messages() + 1);
    summary_.set_bytes(summary_.bytes() + message_.data().size());
    reader_->Read(&message_, &read_);
  }

  void on_finished(bool) { retire(); }

  void retire() {
    reader_.reset();
    context_.reset();
    calls_.give_back(this);
  }

  loop& home_;
  pool<up_call>& calls_;
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncReader<UpSummary, Payload>> reader_;
  Payload message_;
  UpSummary summary_;
  tag requested_ = make_tag<&up_call::on_requested>(this);
  tag read_ = make_tag<&up_call::on_read>(this);
  tag finished_ = make_tag<&up_call::on_finished>(this);
};

/// First in, first out, over storage that grows on demand and keeps its elements for reuse.
template <typename T>
class ring {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  T& front() { return slots_[head_]; }

  T& push() {
    if (size_ == slots_.size()) {
      std::vector<T> larger(slots_.empty() ? 1 : slots_.size() * 2);
      for (std::size_t i = 0; i < size_; ++i) larger[i] = std::move(slots_[(head_ + i) % slots_.size()]);
      slots_ = std::move(larger);
      head_ = 0;
    }
    return slots_[(head_ + size_++) % slots_.size()];
  }

  void pop() {
    head_ = (head_ + 1) % slots_.size();
    --size_;
  }

  void clear() { head_ = size_ = 0; }

 private:
  std::vector<T> slots_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

class echo_call {
 public:
  echo_call(loop& home, pool<echo_call>& calls) : home_(home), calls_(calls) {}

  void request() {
    context_.emplace();
    stream_.emplace(&*context_);
    queue_.clear();
    reading_ = writing_ = wrote_ = ended_ = broken_ = false;
    home_.service.RequestEcho(&*context_, &*stream_, &home_.queue, &home_.queue, &requested_);
  }

 private:
  static constexpr std::size_t capacity = 64;

  void on_requested(bool ok) {
    if (!ok) return retire();
    calls_.post();
    read();
  }

  void read() {
    reading_ = true;
    stream_->Read(&message_, &read_);
  }

  void on_read(bool ok) {
    reading_ = false;
    if (ok) {
      ++home_.counts.received;
      queue_.push().Swap(&message_);
      if (!writing_ && !broken_) write();
      if (queue_.size() < capacity) read();
    } else {
      ended_ = true;
      finish_if_idle();
    }
  }

  void write() {
    writing_ = true;
    grpc::WriteOptions options;
    if (home_.flags.hint && wrote_ && queue_.size() > 1) options.set_buffer_hint();
    wrote_ = true;
    stream_->Write(queue_.front(), options, &written_);
  }

  void on_written(bool ok) {
    writing_ = false;
    if (ok) {
      ++home_.counts.sent;
      queue_.pop();
      if (!queue_.empty()) write();
    } else {
      broken_ = true;
      queue_.clear();
    }
    if (!reading_ && !ended_ && queue_.size() < capacity) read();
    finish_if_idle();
  }

  void finish_if_idle() {
    if (ended_ && !reading_ && !writing_) stream_->Finish(grpc::Status::OK, &finished_);
  }

  void on_finished(bool) { retire(); }

  void retire() {
    stream_.reset();
    context_.reset();
    calls_.give_back(this);
  }

  loop& home_;
  pool<echo_call>& calls_;
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncReaderWriter<Payload, Payload>> stream_;
  Payload message_;
  ring<Payload> queue_;
  bool reading_ = false;
  bool writing_ = false;
  bool wrote_ = false;
  bool ended_ = false;
  bool broken_ = false;
  tag requested_ = make_tag<&echo_call::on_requested>(this);
  tag read_ = make_tag<&echo_call::on_read>(this);
  tag written_ = make_tag<&echo_call::on_written>(this);
  tag finished_ = make_tag<&echo_call::on_finished>(this);
};

class publish_call;

class subscribe_call {
 public:
  subscribe_call(loop& home, pool<subscribe_call>& calls) : home_(home), calls_(calls) {}

  void request();

 private:
  friend class hub;

  struct item {
    std::shared_ptr<const Event> event;  // to be serialised when it is written
    grpc::ByteBuffer bytes;              // or already serialised
  };

  void on_requested(bool ok);
  void on_written(bool ok);
  void on_done(bool ok);
  void write();
  void retire();

  loop& home_;
  pool<subscribe_call>& calls_;
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncWriter<grpc::ByteBuffer>> writer_;
  grpc::ByteBuffer request_;
  ring<item> queue_;  // this and what follows belong to the hub's lock
  std::size_t index_ = 0;
  bool writing_ = false;
  bool wrote_ = false;
  bool done_ = false;
  tag requested_ = make_tag<&subscribe_call::on_requested>(this);
  tag written_ = make_tag<&subscribe_call::on_written>(this);
  tag done_tag_ = make_tag<&subscribe_call::on_done>(this);
};

/// All subscribers, and the publication that goes on. A publication pauses while any subscriber's queue is full.
class hub {
 public:
  explicit hub(const bench::server_flags& flags) : flags_(flags) {}

  std::mutex& mutex() { return mutex_; }

  void add(subscribe_call& subscriber) {
    subscriber.index_ = subscribers_.size();
    subscribers_.push_back(&subscriber);
    Event greeting;
    push(subscriber, encode(std::make_shared<const Event>(greeting)));
  }

  void remove(subscribe_call& subscriber) {
    if (subscriber.queue_.size() >= flags_.capacity) --full_;
    subscribers_.back()->index_ = subscriber.index_;
    subscribers_[subscriber.index_] = subscribers_.back();
    subscribers_.pop_back();
    resume();
  }

  void popped(subscribe_call& subscriber) {
    if (subscriber.queue_.size() + 1 != flags_.capacity) return;
    --full_;
    resume();
  }

  void publish(publish_call& call, const PublishRequest& request);

 private:
  subscribe_call::item encode(std::shared_ptr<const Event> event) const {
    subscribe_call::item made;
    if (flags_.encode_once) {
      bool own = false;
      if (!grpc::SerializationTraits<Event>::Serialize(*event, &made.bytes, &own).ok()) std::abort();
    } else {
      made.event = std::move(event);
    }
    return made;
  }

  void push(subscribe_call& subscriber, const subscribe_call::item& made) {
    subscriber.queue_.push() = made;
    if (subscriber.queue_.size() == flags_.capacity) ++full_;
    if (!subscriber.writing_) subscriber.write();
  }

  void resume();

  const bench::server_flags& flags_;
  std::mutex mutex_;
  std::vector<subscribe_call*> subscribers_;
  std::size_t full_ = 0;
  publish_call* publication_ = nullptr;
  std::uint64_t left_ = 0;
  Event event_;
};

void subscribe_call::request() {
  context_.emplace();
  writer_.emplace(&*context_);
  queue_.clear();
  writing_ = wrote_ = done_ = false;
  context_->AsyncNotifyWhenDone(&done_tag_);
  home_.service.RequestSubscribe(&*context_, &request_, &*writer_, &home_.queue, &home_.queue, &requested_);
}

void subscribe_call::on_requested(bool ok) {
  if (!ok) return retire();
  calls_.post();
  const std::lock_guard lock(home_.events.mutex());
  home_.events.add(*this);
}

void subscribe_call::write() {
  writing_ = true;
  grpc::WriteOptions options;
  if (home_.flags.hint && wrote_ && queue_.size() > 1) options.set_buffer_hint();
  wrote_ = true;
  item& next = queue_.front();
  if (next.event) {
    bool own = false;
    if (!grpc::SerializationTraits<Event>::Serialize(*next.event, &next.bytes, &own).ok()) std::abort();
    next.event.reset();
  }
  writer_->Write(next.bytes, options, &written_);
}

void subscribe_call::on_written(bool ok) {
  bool last = false;
  {
    const std::lock_guard lock(home_.events.mutex());
    writing_ = false;
    if (ok && !done_) {
      ++home_.counts.sent;
      queue_.front().bytes.Clear();
      queue_.pop();
      home_.events.popped(*this);
      if (!writing_ && !queue_.empty()) write();
    }
    last = done_;
  }
  if (last) retire();
}

void subscribe_call::on_done(bool) {
  bool last = false;
  {
    const std::lock_guard lock(home_.events.mutex());
    done_ = true;
    home_.events.remove(*this);
    last = !writing_;
  }
  if (last) retire();
}

void subscribe_call::retire() {
  writer_.reset();
  context_.reset();
  queue_ = {};
  calls_.give_back(this);
}

class publish_call {
 public:
  publish_call(loop& home, pool<publish_call>& calls) : home_(home), calls_(calls) {}

  void request() {
    context_.emplace();
    responder_.emplace(&*context_);
    home_.service.RequestPublish(&*context_, &request_, &*responder_, &home_.queue, &home_.queue,
                                 &requested_);
  }

  void finish(std::size_t subscribers) {
    PublishReply reply;
    reply.set_subscribers(subscribers);
    responder_->Finish(reply, grpc::Status::OK, &finished_);
  }

  void refuse() {
    responder_->FinishWithError({grpc::StatusCode::FAILED_PRECONDITION, "a publication is going on"},
                                &finished_);
  }

 private:
  void on_requested(bool ok) {
    if (!ok) return retire();
    calls_.post();
    home_.events.publish(*this, request_);
  }

  void on_finished(bool) { retire(); }

  void retire() {
    responder_.reset();
    context_.reset();
    calls_.give_back(this);
  }

  loop& home_;
  pool<publish_call>& calls_;
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncResponseWriter<PublishReply>> responder_;
  PublishRequest request_;
  tag requested_ = make_tag<&publish_call::on_requested>(this);
  tag finished_ = make_tag<&publish_call::on_finished>(this);
};

void hub::publish(publish_call& call, const PublishRequest& request) {
  const std::lock_guard lock(mutex_);
  if (publication_ != nullptr) return call.refuse();
  publication_ = &call;
  left_ = request.count();
  event_.Clear();
  bench::fill_event(event_, request.size());
  resume();
}

void hub::resume() {
  if (publication_ == nullptr) return;
  for (; left_ > 0 && full_ == 0; --left_) {
    event_.set_sequence(event_.sequence() + 1);
    const auto made = encode(std::make_shared<const Event>(event_));
    for (subscribe_call* subscriber : subscribers_) push(*subscriber, made);
  }
  if (left_ > 0) return;
  publication_->finish(subscribers_.size());
  publication_ = nullptr;
}

void run(loop& home) {
  const int posted = home.flags.posted > 0 ? home.flags.posted : posted_by_default;
  pool<unary_call> unary(home, posted);
  pool<down_call> down(home, posted);
  pool<up_call> up(home, posted);
  pool<echo_call> echo(home, posted);
  pool<subscribe_call> subscribe(home, posted);
  pool<publish_call> publish(home, 1);
  void* next = nullptr;
  bool ok = false;
  while (home.live > 0 && home.queue.Next(&next, &ok)) {
    const tag& arrived = *static_cast<tag*>(next);
    arrived.fire(arrived.call, ok);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bench::server_flags flags = bench::parse_server_flags(argc, argv);
  bench::block_stop_signals();
  bench_service service;
  hub events(flags);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(flags.port), grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  if (flags.window > 0) {
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, flags.window);
  }
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
  for (int i = 0; i < flags.threads; ++i) queues.push_back(builder.AddCompletionQueue());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || port == 0) return 1;
  std::vector<loop> loops;
  loops.reserve(queues.size());
  for (const auto& queue : queues) loops.push_back({service, *queue, flags, events});
  std::vector<std::thread> threads;
  for (loop& home : loops) threads.emplace_back(run, std::ref(home));
  bench::wait_for_stop(port, flags.lifetime);
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  for (std::thread& thread : threads) thread.join();
  for (const auto& queue : queues) {
    void* next = nullptr;
    bool ok = false;
    queue->Shutdown();
    while (queue->Next(&next, &ok)) {
    }
  }
  bench::server_counts counts;
  for (const loop& home : loops) counts += home.counts;
  counts.print();
}
