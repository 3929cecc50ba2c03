// The hand-written gRPC client: load for the streaming cases, and the peer of rill's own client.
// One thread, one completion queue, raw bytes. A run is one case for a bounded time and ends with one line of JSON.
//
//   bench_grpc_load CASE --port P [--pid SERVER] [--seconds S] [--warmup S] [--connections N] [--streams N] ...
// With --typed 1 messages are serialised and parsed one by one, as rill's client does; without it they stay bytes.
//   unary     --size --in-flight        closed loop of unary calls
//   down      --size                    reads server streams
//   up        --size --hint [--bytes]   client streams; hint K leaves every K-th message unhinted, 0 hints none, -1 all
//   pingpong  --size                    one message in flight a stream
//   flood     --size --hint             both directions at once, as fast as they go
//   fanout    --size --round            subscribers that read; size 0 is the Document
//   slow      --size --count            subscribers that stop reading; reports the server's memory
//   idle                                streams that have nothing to say; reports the server's memory
//   stall     --size                    one server stream whose reader stops after ten messages
#include "bench.grpc.pb.h"
#include "common.hpp"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace rill::bench::v1;

struct options {
  std::string name;
  int port;
  long pid;
  double seconds;
  double warmup;
  int connections;
  int streams;
  int in_flight;
  std::size_t size;
  long long hint;
  std::uint64_t bytes;
  std::uint64_t round;
  std::uint64_t count;
  int window;
  bool typed;
};

/// Ends the process at once: a failed run has nothing to unwind, and tags may still be on their way.
[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "bench_grpc_load: %s\n", what.c_str());
  std::_Exit(1);
}

void expect(bool holds, const std::string& what) {
  if (!holds) fail(what);
}

void expect_ok(const grpc::Status& status) {
  expect(status.ok(), "status " + std::to_string(status.error_code()) + " " + status.error_message());
}

template <typename Message>
grpc::ByteBuffer encode(const Message& message) {
  grpc::ByteBuffer buffer;
  bool own = false;
  if (!grpc::SerializationTraits<Message>::Serialize(message, &buffer, &own).ok()) std::abort();
  return buffer;
}

template <typename Message>
Message decode(grpc::ByteBuffer& buffer) {
  Message message;
  expect(grpc::SerializationTraits<Message>::Deserialize(&buffer, &message).ok(),
         "a response does not parse");
  return message;
}

struct tag {
  void (*fire)(void* call, bool ok);
  void* call;
};

template <auto Member, typename Call>
tag make_tag(Call* call) {
  return {[](void* self, bool ok) { (static_cast<Call*>(self)->*Member)(ok); }, call};
}

/// The connections, the queue, and the count of calls that are not over.
class client {
 public:
  explicit client(const options& chosen) : chosen_(chosen) {
    for (int i = 0; i < chosen.connections; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      if (chosen.window > 0) {
        arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
        arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, chosen.window);
      }
      channels_.push_back(grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(chosen.port),
                                                    grpc::InsecureChannelCredentials(), arguments));
      expect(channels_.back()->WaitForConnected(std::chrono::system_clock::now() + 5s),
             "no server on that port");
      stubs_.push_back(std::make_unique<grpc::GenericStub>(channels_.back()));
    }
    message_.set_data(std::string(chosen.size, 'x'));
    payload_ = encode(message_);
  }

  ~client() {
    queue_.Shutdown();
    void* next = nullptr;
    bool ok = false;
    while (queue_.Next(&next, &ok)) {
    }
  }

  const options& chosen() const { return chosen_; }
  grpc::CompletionQueue& queue() { return queue_; }
  grpc::GenericStub& stub() { return *stubs_[turn_++ % stubs_.size()]; }
  /// The message to send: serialised once for all, or anew each time as a typed stub does.
  grpc::ByteBuffer payload() const { return chosen_.typed ? encode(message_) : payload_; }
  /// What came back is an echo; a typed stub parses it.
  void check_echo(grpc::ByteBuffer& message) {
    if (chosen_.typed) {
      expect(decode<Payload>(message).data().size() == chosen_.size, "an echo of another size");
    } else {
      expect(message.Length() == payload_.Length(), "an echo of another size");
    }
  }

  std::uint64_t messages = 0;  // what the case counts
  std::uint64_t open = 0;      // calls that are not over
  bench::histogram times;
  bool stopping = false;

  /// Handles what arrives until the condition holds; gives up after a minute, for no case may hang.
  template <typename Condition>
  void run_until(Condition condition) {
    const auto limit = bench::clock::now() + std::chrono::minutes(1);
    while (!condition()) {
      poll(5ms);
      expect(bench::clock::now() < limit, "the case did not end within a minute");
    }
  }

  void run_for(double seconds) {
    const auto end = bench::clock::now() + std::chrono::duration_cast<bench::clock::duration>(
                                               std::chrono::duration<double>(seconds));
    while (bench::clock::now() < end) poll(5ms);
  }

  bench::sample snapshot() const { return bench::sample::take(chosen_.pid, messages); }

 private:
  void poll(std::chrono::milliseconds wait) {
    void* next = nullptr;
    bool ok = false;
    const auto deadline = std::chrono::system_clock::now() + wait;
    for (int i = 0; i < 256; ++i) {
      if (queue_.AsyncNext(&next, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT) return;
      const tag& arrived = *static_cast<tag*>(next);
      arrived.fire(arrived.call, ok);
    }
  }

  const options& chosen_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  std::size_t turn_ = 0;
  grpc::CompletionQueue queue_;
  Payload message_;
  grpc::ByteBuffer payload_;
};

/// One call as a stream of bytes; what a case does lies in the functions that it overrides.
class stream {
 public:
  stream(client& home, const char* method) : home_(home) {
    rpc_ = home.stub().PrepareCall(&context_, std::string("/rill.bench.v1.Bench/") + method, &home.queue());
    ++home_.open;
  }
  virtual ~stream() = default;

  void start() {
    ++pending_;
    rpc_->StartCall(&started_tag_);
  }

  /// Starts with the only message that the client sends, all of it in one write.
  void start_with(const grpc::ByteBuffer& only) {
    context_.set_initial_metadata_corked(true);
    rpc_->StartCall(&started_tag_);
    write(only, grpc::WriteOptions().set_last_message());
    read();
  }

  void cancel() { context_.TryCancel(); }
  bool over() const { return over_; }
  const grpc::Status& status() const { return status_; }

 protected:
  virtual void on_started() {}
  virtual void on_written() {}
  virtual void on_read(grpc::ByteBuffer& message) = 0;
  virtual void on_over() {}

  void write(const grpc::ByteBuffer& message, grpc::WriteOptions how = {}) {
    ++pending_;
    rpc_->Write(message, how, &written_tag_);
  }

  void read() {
    ++pending_;
    rpc_->Read(&in_, &read_tag_);
  }

  client& home_;

 private:
  void started(bool ok) {
    --pending_;
    if (ok)
      on_started();
    else
      finish();
  }

  void written(bool ok) {
    --pending_;
    if (ok && !ended_)
      on_written();
    else
      finish();
  }

  void has_read(bool ok) {
    --pending_;
    if (ok) {
      on_read(in_);
    } else {
      ended_ = true;
      finish();
    }
  }

  void finish() {
    if (pending_ > 0 || finishing_) return;
    finishing_ = true;
    rpc_->Finish(&status_, &finished_tag_);
  }

  void finished(bool) {
    over_ = true;
    --home_.open;
    on_over();
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> rpc_;
  grpc::ByteBuffer in_;
  grpc::Status status_;
  int pending_ = 0;
  bool ended_ = false;
  bool finishing_ = false;
  bool over_ = false;
  tag started_tag_ = make_tag<&stream::started>(this);
  tag written_tag_ = make_tag<&stream::written>(this);
  tag read_tag_ = make_tag<&stream::has_read>(this);
  tag finished_tag_ = make_tag<&stream::finished>(this);
};

template <typename Stream>
std::vector<std::unique_ptr<Stream>> open_streams(client& home, int count) {
  std::vector<std::unique_ptr<Stream>> streams;
  streams.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) streams.push_back(std::make_unique<Stream>(home));
  return streams;
}

/// Warm-up, then the measured window.
std::pair<bench::sample, bench::sample> measure(client& home) {
  home.run_for(home.chosen().warmup);
  home.times.clear();
  const auto from = home.snapshot();
  home.run_for(home.chosen().seconds);
  return {from, home.snapshot()};
}

// unary

class unary_loop {
 public:
  explicit unary_loop(client& home) : home_(home) {
    ++home_.open;
    call();
  }

 private:
  void call() {
    context_.emplace();
    began_ = bench::clock::now();
    rpc_ = home_.stub().PrepareUnaryCall(&*context_, "/rill.bench.v1.Bench/Unary", home_.payload(),
                                         &home_.queue());
    rpc_->StartCall();
    rpc_->Finish(&reply_, &status_, &finished_);
  }

  void on_finished(bool) {
    expect_ok(status_);
    home_.check_echo(reply_);
    ++home_.messages;
    home_.times.record(bench::clock::now() - began_);
    if (home_.stopping)
      --home_.open;
    else
      call();
  }

  client& home_;
  std::optional<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> rpc_;
  grpc::ByteBuffer reply_;
  grpc::Status status_;
  bench::clock::time_point began_;
  tag finished_ = make_tag<&unary_loop::on_finished>(this);
};

void run_unary(client& home, bench::json_line& result) {
  const auto calls = open_streams<unary_loop>(home, home.chosen().connections * home.chosen().in_flight);
  const auto [from, to] = measure(home);
  result.window(from, to).latency(home.times);
  home.stopping = true;
  home.run_until([&] { return home.open == 0; });
}

// down

class down_reader : public stream {
 public:
  explicit down_reader(client& home) : stream(home, "Down") {
    DownRequest request;
    request.set_count(std::uint64_t{1} << 62);
    request.set_size(static_cast<std::uint32_t>(home.chosen().size));
    start_with(encode(request));
  }

 private:
  void on_read(grpc::ByteBuffer& message) override {
    if (home_.chosen().typed) home_.check_echo(message);
    ++home_.messages;
    read();
  }
};

template <typename Streams>
void cancel_all(client& home, const Streams& streams) {
  home.stopping = true;
  for (const auto& each : streams) each->cancel();
  home.run_until([&] { return home.open == 0; });
}

void run_down(client& home, bench::json_line& result) {
  const auto streams = open_streams<down_reader>(home, home.chosen().streams);
  const auto [from, to] = measure(home);
  for (const auto& each : streams) expect(!each->over(), "a server stream ended early");
  result.window(from, to);
  cancel_all(home, streams);
}

// up

class up_writer : public stream {
 public:
  explicit up_writer(client& home) : stream(home, "Up") { start(); }

  std::uint64_t sent() const { return sent_; }
  std::uint64_t received() const { return received_; }

 private:
  void on_started() override {
    read();
    next();
  }

  void on_written() override {
    if (last_) return;
    ++home_.messages;
    next();
  }

  void next() {
    const options& chosen = home_.chosen();
    ++sent_;
    grpc::WriteOptions how;
    if (home_.stopping || (chosen.bytes > 0 && sent_ * chosen.size >= chosen.bytes)) {
      last_ = true;
      how.set_last_message();
    } else if (chosen.hint < 0 || (chosen.hint > 0 && sent_ % static_cast<std::uint64_t>(chosen.hint) != 0)) {
      how.set_buffer_hint();
    }
    write(home_.payload(), how);
  }

  void on_read(grpc::ByteBuffer& message) override {
    received_ = decode<UpSummary>(message).messages();
    read();
  }

  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  bool last_ = false;
};

void run_up(client& home, bench::json_line& result) {
  const bool bounded = home.chosen().bytes > 0;
  const auto before = home.snapshot();
  const auto streams = open_streams<up_writer>(home, home.chosen().streams);
  if (!bounded) {
    const auto [from, to] = measure(home);
    result.window(from, to);
    home.stopping = true;
  }
  home.run_until([&] { return home.open == 0; });
  std::uint64_t sent = 0;
  for (const auto& each : streams) {
    expect_ok(each->status());
    expect(each->sent() == each->received(), "the server did not count every message");
    sent += each->sent();
  }
  if (bounded) {
    home.messages = sent;
    result.window(before, home.snapshot());
  }
}

// pingpong

class echo_stream : public stream {
 public:
  explicit echo_stream(client& home) : stream(home, "Echo") { start(); }

 private:
  void on_started() override { ping(); }

  void ping() {
    waiting_for_ = 2;
    began_ = bench::clock::now();
    write(home_.payload());
    read();
  }

  void on_written() override { next(); }

  void on_read(grpc::ByteBuffer& message) override {
    home_.check_echo(message);
    ++home_.messages;
    home_.times.record(bench::clock::now() - began_);
    next();
  }

  void next() {
    if (--waiting_for_ == 0 && !home_.stopping)
      ping();
    else if (waiting_for_ == 0)
      read();
  }

  int waiting_for_ = 0;
  bench::clock::time_point began_;
};

void run_pingpong(client& home, bench::json_line& result) {
  const auto streams = open_streams<echo_stream>(home, home.chosen().streams);
  const auto [from, to] = measure(home);
  result.window(from, to).latency(home.times);
  cancel_all(home, streams);
}

// flood

class flood_stream : public stream {
 public:
  explicit flood_stream(client& home) : stream(home, "Echo") { start(); }

  std::uint64_t sent() const { return sent_; }
  std::uint64_t received() const { return received_; }

 private:
  void on_started() override {
    read();
    next();
  }

  void on_written() override {
    if (!last_) next();
  }

  void next() {
    const options& chosen = home_.chosen();
    ++sent_;
    grpc::WriteOptions how;
    if (home_.stopping) {
      last_ = true;
      how.set_last_message();
    } else if (chosen.hint < 0 || (chosen.hint > 0 && sent_ % static_cast<std::uint64_t>(chosen.hint) != 0)) {
      how.set_buffer_hint();
    }
    write(home_.payload(), how);
  }

  void on_read(grpc::ByteBuffer&) override {
    ++received_;
    ++home_.messages;
    read();
  }

  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  bool last_ = false;
};

void run_flood(client& home, bench::json_line& result) {
  const auto streams = open_streams<flood_stream>(home, home.chosen().streams);
  const auto [from, to] = measure(home);
  result.window(from, to);
  home.stopping = true;
  home.run_until([&] { return home.open == 0; });
  for (const auto& each : streams) {
    expect_ok(each->status());
    expect(each->sent() == each->received(), "an echo was lost or came twice");
  }
}

// fanout and slow

class publication : public stream {
 public:
  publication(client& home, std::uint64_t count) : stream(home, "Publish") {
    PublishRequest request;
    request.set_count(count);
    request.set_size(static_cast<std::uint32_t>(home.chosen().size));
    start_with(encode(request));
  }

  std::uint64_t subscribers() const { return subscribers_; }

 private:
  void on_read(grpc::ByteBuffer& message) override {
    subscribers_ = decode<PublishReply>(message).subscribers();
    read();
  }

  std::uint64_t subscribers_ = 0;
};

class subscriber : public stream {
 public:
  explicit subscriber(client& home) : stream(home, "Subscribe") { start_with(encode(SubscribeRequest{})); }

  void resume() { read(); }

 private:
  void on_read(grpc::ByteBuffer&) override {
    ++home_.messages;
    if (!home_.stopping) read();
  }
};

void publish(client& home, std::uint64_t count, std::uint64_t subscribers) {
  const publication rpc(home, count);
  home.run_until([&] { return rpc.over(); });
  expect_ok(rpc.status());
  expect(rpc.subscribers() == subscribers, "the server knows another number of subscribers");
}

void run_fanout(client& home, bench::json_line& result) {
  const auto subscribers = static_cast<std::uint64_t>(home.chosen().streams);
  const auto streams = open_streams<subscriber>(home, home.chosen().streams);
  home.run_until([&] { return home.messages == subscribers; });
  const auto round = [&] {
    const std::uint64_t wanted = home.messages + home.chosen().round * subscribers;
    publish(home, home.chosen().round, subscribers);
    home.run_until([&] { return home.messages >= wanted; });
    expect(home.messages == wanted, "an event came twice");
  };
  const auto rounds_for = [&](double seconds) {
    const auto end = bench::clock::now() + std::chrono::duration<double>(seconds);
    do round();
    while (bench::clock::now() < end);
  };
  rounds_for(home.chosen().warmup);
  const auto from = home.snapshot();
  rounds_for(home.chosen().seconds);
  result.window(from, home.snapshot());
  cancel_all(home, streams);
}

/// The resident memory of the server once five readings, 50 ms apart, agree within 1 %.
long settled_memory_kib(client& home) {
  const long pid = home.chosen().pid;
  long last = bench::process_memory_kib(pid, "VmRSS");
  int steady = 0;
  for (int i = 0; i < 200 && steady < 5; ++i) {
    home.run_for(0.05);
    const long now = bench::process_memory_kib(pid, "VmRSS");
    steady = std::abs(now - last) * 100 <= now ? steady + 1 : 0;
    last = now;
  }
  return last;
}

void run_slow(client& home, bench::json_line& result) {
  const auto subscribers = static_cast<std::uint64_t>(home.chosen().streams);
  const auto streams = open_streams<subscriber>(home, home.chosen().streams);
  home.stopping = true;  // a subscriber that has its greeting reads no more
  home.run_until([&] { return home.messages == subscribers; });
  const long before = settled_memory_kib(home);
  publish(home, home.chosen().count, subscribers);
  const long after = settled_memory_kib(home);
  result.count("streams", subscribers).count("events", home.chosen().count);
  result.number("rise_kib", static_cast<double>(after - before));
  result.number("peak_kib", static_cast<double>(bench::process_memory_kib(home.chosen().pid, "VmHWM")));
  home.stopping = false;
  for (const auto& each : streams) each->resume();
  home.run_until([&] { return home.messages == subscribers * (1 + home.chosen().count); });
  cancel_all(home, streams);
}

// idle

class idle_stream : public stream {
 public:
  explicit idle_stream(client& home) : stream(home, "Echo") { start(); }

 private:
  void on_started() override {
    write(home_.payload());
    read();
  }

  void on_read(grpc::ByteBuffer&) override {
    ++home_.messages;
    read();
  }
};

void run_idle(client& home, bench::json_line& result) {
  const auto warm = open_streams<idle_stream>(home, home.chosen().connections);
  home.run_until([&] { return home.messages == warm.size(); });
  const long before = settled_memory_kib(home);
  const auto streams = open_streams<idle_stream>(home, home.chosen().streams);
  home.run_until([&] { return home.messages == warm.size() + streams.size(); });
  const long after = settled_memory_kib(home);
  result.count("streams", streams.size());
  result.number("bytes_per_stream",
                static_cast<double>(after - before) * 1024 / static_cast<double>(streams.size()));
  for (const auto& each : warm) each->cancel();
  cancel_all(home, streams);
}

// stall

class stalled_reader : public stream {
 public:
  explicit stalled_reader(client& home) : stream(home, "Down") {
    DownRequest request;
    request.set_count(10'000'000);
    request.set_size(static_cast<std::uint32_t>(home.chosen().size));
    start_with(encode(request));
  }

  void resume() { read(); }

 private:
  void on_read(grpc::ByteBuffer&) override {
    if (++home_.messages < 10 || home_.stopping) read();
  }
};

void run_stall(client& home, bench::json_line& result) {
  const long before = settled_memory_kib(home);
  stalled_reader reader(home);
  home.run_until([&] { return home.messages == 10; });
  const long after = settled_memory_kib(home);
  result.number("rise_kib", static_cast<double>(after - before));
  result.number("peak_rise_kib",
                static_cast<double>(bench::process_memory_kib(home.chosen().pid, "VmHWM") - before));
  home.stopping = true;
  reader.cancel();
  reader.resume();
  home.run_until([&] { return home.open == 0; });
}

const std::map<std::string, void (*)(client&, bench::json_line&)> cases = {
    {"unary", run_unary},       {"down", run_down},   {"up", run_up},
    {"pingpong", run_pingpong}, {"flood", run_flood}, {"fanout", run_fanout},
    {"slow", run_slow},         {"idle", run_idle},   {"stall", run_stall},
};

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2 || !cases.contains(argv[1])) throw std::invalid_argument("the first argument names a case");
  bench::flag_map flags(argc, argv, 2);
  const options chosen{
      .name = argv[1],
      .port = static_cast<int>(flags.number("port", 0)),
      .pid = static_cast<long>(flags.number("pid", 0)),
      .seconds = flags.real("seconds", 2),
      .warmup = flags.real("warmup", 0.5),
      .connections = static_cast<int>(flags.number("connections", 1)),
      .streams = static_cast<int>(flags.number("streams", 1)),
      .in_flight = static_cast<int>(flags.number("in-flight", 1)),
      .size = static_cast<std::size_t>(flags.number("size", 16)),
      .hint = flags.number("hint", -1),
      .bytes = static_cast<std::uint64_t>(flags.number("bytes", 0)),
      .round = static_cast<std::uint64_t>(flags.number("round", 100)),
      .count = static_cast<std::uint64_t>(flags.number("count", 32)),
      .window = static_cast<int>(flags.number("window", 0)),
      .typed = flags.number("typed", 0) != 0,
  };
  flags.expect_empty();
  bench::json_line result;
  result.text("case", chosen.name);
  {
    client home(chosen);
    cases.at(chosen.name)(home, result);
  }
  result.print();
} catch (const std::exception& failure) {
  fail(failure.what());
}
