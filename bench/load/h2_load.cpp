// Load without a gRPC library: so cheap a message that the server is what is measured, and an open loop whose
// latencies count from the moment a call was due, not from the moment it was sent.
//
//   bench_h2_load CASE --port P [--pid SERVER] [--seconds S] [--warmup S] [--connections N] [--size N] ...
//   unary     --in-flight               closed loop, that many calls on each connection
//   rate      --rate                    open loop: calls a second with exponential gaps, over all connections
//   down                                reads one server stream on each connection
//   up                                  writes one client stream on each connection
//   pingpong                            one message in flight on one stream of each connection
//   beside                              the same while a server stream on another connection takes all it can
//   flood                               both directions of one stream on each connection
#include "common.hpp"
#include "http2.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace {

struct options {
  std::string name;
  int port;
  long pid;
  double seconds;
  double warmup;
  int connections;
  int in_flight;
  std::size_t size;
  double rate;
};

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 128; value >>= 7) bytes += static_cast<char>(value | 128);
  return bytes + static_cast<char>(value);
}

std::string framed(const std::string& message) {
  const std::uint32_t size = htonl(static_cast<std::uint32_t>(message.size()));
  std::string bytes(5, '\0');
  std::memcpy(bytes.data() + 1, &size, 4);
  return bytes + message;
}

/// A Payload of `size` bytes as gRPC frames it.
std::string payload(std::size_t size) { return framed("\x0a" + varint(size) + std::string(size, 'x')); }

/// A DownRequest for more messages than any run can take.
std::string endless(std::size_t size) {
  return framed("\x08" + varint(std::uint64_t{1} << 62) + "\x10" + varint(size));
}

std::uint64_t read_varint(std::string_view& from) {
  std::uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    if (from.empty()) throw std::runtime_error("a summary does not parse");
    const auto byte = static_cast<unsigned char>(from.front());
    from.remove_prefix(1);
    value |= std::uint64_t{byte & 127u} << shift;
    if (byte < 128) return value;
  }
}

/// The connections of a run and its clock; a case adds what it sends and what it counts.
class load {
 public:
  explicit load(const options& chosen) : chosen_(chosen), poll_(epoll_create1(EPOLL_CLOEXEC)) {}
  virtual ~load() { close(poll_); }
  load(const load&) = delete;
  load& operator=(const load&) = delete;

  void run(bench::json_line& result) {
    const auto never = [] { return false; };
    run_for(chosen_.warmup, never);
    times_.clear();
    const auto from = bench::sample::take(chosen_.pid, messages_);
    run_for(chosen_.seconds, never);
    end_window();
    result.window(from, bench::sample::take(chosen_.pid, messages_));
    if (times_.count() > 0) result.latency(times_);
    stopping_ = true;
    run_for(10, [this] { return over(); });
    if (!over()) throw std::runtime_error("the server did not answer everything within ten seconds");
    result.count("total", messages_);
  }

 protected:
  virtual void turn() {}                // called between two rounds of events
  virtual void end_window() {}          // what is under way may still be counted
  virtual bool over() { return true; }  // asked once the run is stopping

  /// A connection whose streams all call one method.
  std::unique_ptr<bench::http2_connection> connect(bench::http2_events& events, const char* method) {
    auto made = std::make_unique<bench::http2_connection>(
        chosen_.port, std::string("/rill.bench.v1.Bench/") + method, events);
    epoll_event interest{};
    interest.events = EPOLLIN | EPOLLOUT | EPOLLET;
    interest.data.ptr = made.get();
    epoll_ctl(poll_, EPOLL_CTL_ADD, made->fd(), &interest);
    connections_.push_back(made.get());
    return made;
  }

  void disconnect(std::unique_ptr<bench::http2_connection>& connection) {
    std::erase(connections_, connection.get());
    connection.reset();
  }

  const options& chosen_;
  std::uint64_t messages_ = 0;
  bench::histogram times_;
  bool stopping_ = false;
  int sleep_ms_ = 1;

 private:
  template <typename Condition>
  void run_for(double seconds, Condition ended) {
    const auto end = bench::clock::now() + std::chrono::duration_cast<bench::clock::duration>(
                                               std::chrono::duration<double>(seconds));
    epoll_event ready[64];
    while (bench::clock::now() < end && !ended()) {
      turn();
      for (auto* each : connections_) each->flush();
      const int count = epoll_wait(poll_, ready, 64, sleep_ms_);
      for (int i = 0; i < count; ++i) {
        if ((ready[i].events & EPOLLIN) != 0)
          static_cast<bench::http2_connection*>(ready[i].data.ptr)->receive();
      }
    }
  }

  int poll_;
  std::vector<bench::http2_connection*> connections_;
};

/// Unary calls: a closed loop, or with a rate an open one.
class unary_load final : public load {
 public:
  explicit unary_load(const options& chosen) : load(chosen), request_(payload(chosen.size)) {
    for (int i = 0; i < chosen.connections; ++i) lanes_.push_back(std::make_unique<lane>(*this));
    if (chosen.rate > 0) {
      sleep_ms_ = 0;
      due_ = bench::clock::now();
      return;
    }
    for (const auto& each : lanes_) {
      for (int i = 0; i < chosen.in_flight; ++i) each->call(bench::clock::now());
    }
  }

 private:
  struct lane final : bench::http2_events {
    explicit lane(unary_load& owner)
        : home(owner), connection(owner.connect(*this, "Unary")), began(1 << 16) {}

    void call(bench::clock::time_point due) {
      if (++home.in_flight_ > 50'000) throw std::runtime_error("the server does not keep up with the rate");
      const std::uint32_t stream = connection->open();
      connection->data(stream, home.request_, true);
      began[stream / 2 % began.size()] = due;
    }

    void on_data(std::uint32_t, std::string_view bytes) override { received += bytes.size(); }

    void on_end(std::uint32_t stream) override {
      --home.in_flight_;
      ++home.messages_;
      const auto now = bench::clock::now();
      home.times_.record(now - began[stream / 2 % began.size()]);
      if (home.chosen_.rate == 0 && !home.stopping_) call(now);
    }

    unary_load& home;
    std::unique_ptr<bench::http2_connection> connection;
    std::vector<bench::clock::time_point> began;
    std::uint64_t received = 0;
  };

  void turn() override {
    if (chosen_.rate == 0 || stopping_) return;
    const auto now = bench::clock::now();
    while (due_ <= now) {
      lanes_[turn_++ % lanes_.size()]->call(due_);
      due_ += std::chrono::nanoseconds(static_cast<std::int64_t>(gap_(random_) * 1e9 / chosen_.rate));
    }
  }

  bool over() override {
    if (in_flight_ > 0) return false;
    std::uint64_t received = 0;
    for (const auto& each : lanes_) received += each->received;
    if (received != messages_ * request_.size())
      throw std::runtime_error("an answer is not the echo of its request");
    return true;
  }

  std::string request_;
  std::vector<std::unique_ptr<lane>> lanes_;
  std::size_t turn_ = 0;
  std::size_t in_flight_ = 0;
  bench::clock::time_point due_{};
  std::minstd_rand random_{1};
  std::exponential_distribution<> gap_{1.0};
};

class down_load final : public load {
 public:
  explicit down_load(const options& chosen) : load(chosen) {
    const std::string request = endless(chosen.size);
    for (int i = 0; i < chosen.connections; ++i) {
      lanes_.push_back(std::make_unique<lane>(*this));
      auto& connection = *lanes_.back()->connection;
      connection.data(connection.open(), request, true);
    }
  }

 private:
  struct lane final : bench::http2_events {
    explicit lane(down_load& owner) : home(owner), connection(owner.connect(*this, "Down")) {}

    void on_data(std::uint32_t, std::string_view bytes) override {
      home.bytes_ += bytes.size();
      home.messages_ = home.bytes_ / home.message_size_;
    }

    void on_end(std::uint32_t) override { throw std::runtime_error("a server stream ended early"); }

    down_load& home;
    std::unique_ptr<bench::http2_connection> connection;
  };

  std::vector<std::unique_ptr<lane>> lanes_;
  std::size_t message_size_ = payload(chosen_.size).size();
  std::uint64_t bytes_ = 0;
};

/// One endless stream of messages on each connection; the answer is a summary or the echo.
class sending_load final : public load {
 public:
  sending_load(const options& chosen, const char* method)
      : load(chosen),
        method_(method),
        echo_(std::string_view(method) == "Echo"),
        message_(payload(chosen.size)) {
    while (pattern_.size() < message_.size() + largest_frame) pattern_ += message_;
    for (int i = 0; i < chosen.connections; ++i) lanes_.push_back(std::make_unique<lane>(*this));
  }

 private:
  static constexpr std::size_t largest_frame = 16384;
  static constexpr std::size_t largest_out = 1 << 20;
  static constexpr std::size_t largest_unanswered = 256 * 1024;  // so that a flood ends soon after it stops

  struct lane final : bench::http2_events {
    explicit lane(sending_load& owner)
        : home(owner), connection(owner.connect(*this, owner.method_)), stream(connection->open()) {}

    /// Queues one frame if the windows allow it; false if nothing more can be queued now.
    bool send() {
      if (closed || connection->out_size() > largest_out) return false;
      const std::size_t offset = sent % home.message_.size();
      std::size_t wanted =
          home.stopping_ ? (home.message_.size() - offset) % home.message_.size() : largest_frame;
      std::int64_t window =
          std::min(connection->connection_window(),
                   connection->initial_window() + connection->granted() - static_cast<std::int64_t>(sent));
      if (home.echo_)
        window = std::min(window, static_cast<std::int64_t>(received + largest_unanswered - sent));
      if (window <= 0 && wanted > 0) return false;
      wanted = std::min({wanted, largest_frame, static_cast<std::size_t>(std::max<std::int64_t>(window, 0))});
      closed = home.stopping_ && (sent + wanted) % home.message_.size() == 0;
      connection->data(stream, std::string_view(home.pattern_).substr(offset, wanted), closed);
      sent += wanted;
      if (!home.echo_) home.messages_ += (offset + wanted) / home.message_.size();
      return true;
    }

    void on_data(std::uint32_t, std::string_view bytes) override {
      received += bytes.size();
      if (home.echo_)
        home.messages_ +=
            (received / home.message_.size()) - ((received - bytes.size()) / home.message_.size());
      else
        answer += bytes;
    }

    void on_end(std::uint32_t) override {
      if (!closed) throw std::runtime_error("the server ended a stream early");
      ended = true;
      const std::uint64_t messages = sent / home.message_.size();
      if (home.echo_ ? received != sent : summary() != messages) {
        throw std::runtime_error("the server did not see every message");
      }
    }

    std::uint64_t summary() const {
      std::string_view body = std::string_view(answer).substr(5);
      body.remove_prefix(1);
      return read_varint(body);
    }

    sending_load& home;
    std::unique_ptr<bench::http2_connection> connection;
    std::uint32_t stream;
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::string answer;
    bool closed = false;
    bool ended = false;
  };

  void turn() override {
    for (const auto& each : lanes_) {
      while (each->send()) {
      }
    }
  }

  bool over() override {
    return std::all_of(lanes_.begin(), lanes_.end(), [](const auto& each) { return each->ended; });
  }

  const char* method_;
  bool echo_;
  std::string message_;
  std::string pattern_;
  std::vector<std::unique_ptr<lane>> lanes_;
};

/// One message in flight on each connection; if wanted, beside an endless server stream on a connection of its own.
class pingpong_load final : public load {
 public:
  pingpong_load(const options& chosen, bool beside_stream) : load(chosen), message_(payload(chosen.size)) {
    if (beside_stream) {
      neighbour_ = connect(ignored_, "Down");
      neighbour_->data(neighbour_->open(), endless(chosen.size), true);
    }
    for (int i = 0; i < chosen.connections; ++i) lanes_.push_back(std::make_unique<lane>(*this));
  }

 private:
  struct lane final : bench::http2_events {
    explicit lane(pingpong_load& owner)
        : home(owner), connection(owner.connect(*this, "Echo")), stream(connection->open()) {
      ping();
    }

    void ping() {
      began = bench::clock::now();
      missing = home.message_.size();
      connection->data(stream, home.message_, false);
    }

    void on_data(std::uint32_t, std::string_view bytes) override {
      missing -= bytes.size();
      if (missing > 0) return;
      home.times_.record(bench::clock::now() - began);
      ++home.messages_;
      if (!home.stopping_)
        ping();
      else
        idle = true;
    }

    void on_end(std::uint32_t) override { throw std::runtime_error("the server ended a stream early"); }

    pingpong_load& home;
    std::unique_ptr<bench::http2_connection> connection;
    std::uint32_t stream;
    bench::clock::time_point began;
    std::size_t missing = 0;
    bool idle = false;
  };

  struct ignoring final : bench::http2_events {
    void on_data(std::uint32_t, std::string_view) override {}
    void on_end(std::uint32_t) override { throw std::runtime_error("a server stream ended early"); }
  };

  /// A message that was not answered yet counts with its age, lest a server that answers nothing looks fast.
  void end_window() override {
    for (const auto& each : lanes_) times_.record(bench::clock::now() - each->began);
  }

  bool over() override {
    if (neighbour_ != nullptr) disconnect(neighbour_);
    return std::all_of(lanes_.begin(), lanes_.end(), [](const auto& each) { return each->idle; });
  }

  std::string message_;
  ignoring ignored_;
  std::unique_ptr<bench::http2_connection> neighbour_;
  std::vector<std::unique_ptr<lane>> lanes_;
};

std::unique_ptr<load> make_load(const options& chosen) {
  if (chosen.name == "unary" || chosen.name == "rate") return std::make_unique<unary_load>(chosen);
  if (chosen.name == "down") return std::make_unique<down_load>(chosen);
  if (chosen.name == "up") return std::make_unique<sending_load>(chosen, "Up");
  if (chosen.name == "flood") return std::make_unique<sending_load>(chosen, "Echo");
  if (chosen.name == "pingpong") return std::make_unique<pingpong_load>(chosen, false);
  if (chosen.name == "beside") return std::make_unique<pingpong_load>(chosen, true);
  throw std::invalid_argument("unknown case " + chosen.name);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) throw std::invalid_argument("the first argument names a case");
  bench::flag_map flags(argc, argv, 2);
  const options chosen{
      .name = argv[1],
      .port = static_cast<int>(flags.number("port", 0)),
      .pid = static_cast<long>(flags.number("pid", 0)),
      .seconds = flags.real("seconds", 2),
      .warmup = flags.real("warmup", 0.5),
      .connections = static_cast<int>(flags.number("connections", 1)),
      .in_flight = static_cast<int>(flags.number("in-flight", 1)),
      .size = static_cast<std::size_t>(flags.number("size", 16)),
      .rate = flags.real("rate", 0),
  };
  flags.expect_empty();
  bench::json_line result;
  result.text("case", chosen.name);
  make_load(chosen)->run(result);
  result.print();
} catch (const std::exception& failure) {
  std::fprintf(stderr, "bench_h2_load: %s\n", failure.what());
  return 1;
}
