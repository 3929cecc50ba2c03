// rill's client as its users write it, under the cases of the hand-written client and with the same JSON at the end:
//   bench_rill_load unary|down|up|pingpong|flood --port P [--pid SERVER] [--seconds S] [--warmup S]
//                   [--connections N] [--streams N] [--in-flight N] [--size BYTES]
// Everything runs on one loop, measuring included, so that counting needs no atomics.
#include "bench.grpc.pb.h"
#include "load/common.hpp"
#include "rill/client/client.hpp"
#include "rill/coro/sleep.hpp"
#include "rill/coro/spawn.hpp"
#include "rill/coro/task.hpp"
#include "rill/coro/when_all.hpp"
#include "rill/engine/cq/runtime.hpp"

#include <chrono>
#include <exception>
#include <future>
#include <string>
#include <utility>
#include <vector>

namespace {

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
};

class load {
 public:
  explicit load(const options& chosen) : chosen_(chosen) {
    for (int i = 0; i < chosen.connections; ++i) {
      clients_.emplace_back("127.0.0.1:" + std::to_string(chosen.port),
                            rill::client_options{.own_connection = true});
    }
    message_.set_data(std::string(chosen.size, 'x'));
  }

  /// The load and the measuring, side by side.
  rill::task<> run(bench::json_line& result) {
    std::vector<rill::task<>> work;
    if (chosen_.name == "unary") {
      for (int i = 0; i < chosen_.connections * chosen_.in_flight; ++i) work.push_back(unary(next_client()));
    } else {
      for (int i = 0; i < chosen_.streams; ++i) work.push_back(stream(next_client()));
    }
    co_await rill::when_all(measure(result), rill::when_all(std::move(work)));
  }

 private:
  rill::task<> measure(bench::json_line& result) {
    co_await rill::sleep_for(std::chrono::duration<double>(chosen_.warmup));
    times_.clear();
    const auto from = bench::sample::take(chosen_.pid, messages_);
    co_await rill::sleep_for(std::chrono::duration<double>(chosen_.seconds));
    result.window(from, bench::sample::take(chosen_.pid, messages_));
    if (times_.count() > 0) result.latency(times_);
    stopping_ = true;
  }

  rill::task<> stream(rill::client& client) {
    if (chosen_.name == "down") return down(client);
    if (chosen_.name == "up") return up(client);
    if (chosen_.name == "pingpong") return pingpong(client);
    if (chosen_.name == "flood") return flood(client);
    throw std::invalid_argument("unknown case " + chosen_.name);
  }

  rill::task<> unary(rill::client& client) {
    while (!stopping_) {
      const auto began = bench::clock::now();
      const Payload reply = co_await client.call<&Bench::Service::Unary>(message_);
      check_echo(reply);
      times_.record(bench::clock::now() - began);
      ++messages_;
    }
  }

  rill::task<> down(rill::client& client) {
    DownRequest request;
    request.set_count(std::uint64_t{1} << 62);
    request.set_size(static_cast<std::uint32_t>(chosen_.size));
    auto messages = client.call<&Bench::Service::Down>(request);
    Payload message;
    while (!stopping_ && co_await messages.read(message)) {
      check_echo(message);
      ++messages_;
    }
  }

  rill::task<> up(rill::client& client) {
    auto upload = client.call<&Bench::Service::Up>();
    std::uint64_t sent = 0;
    while (!stopping_) {
      co_await upload.write(message_);
      ++sent;
      ++messages_;
    }
    const UpSummary summary = co_await upload.finish();
    if (summary.messages() != sent) throw std::runtime_error("the server did not count every message");
  }

  rill::task<> pingpong(rill::client& client) {
    auto chat = client.call<&Bench::Service::Echo>();
    Payload reply;
    while (!stopping_) {
      const auto began = bench::clock::now();
      co_await chat.write(message_);
      co_await chat.read(reply);
      check_echo(reply);
      times_.record(bench::clock::now() - began);
      ++messages_;
    }
    co_await chat.finish();
  }

  rill::task<> flood(rill::client& client) {
    auto chat = client.call<&Bench::Service::Echo>();
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    auto send = [&]() -> rill::task<> {
      while (!stopping_) {
        co_await chat.write(message_);
        ++sent;
      }
      co_await chat.writes_done();
    };
    auto receive = [&]() -> rill::task<> {
      Payload reply;
      while (co_await chat.read(reply)) {
        ++received;
        ++messages_;
      }
    };
    co_await rill::when_all(send(), receive());
    if (sent != received) throw std::runtime_error("an echo was lost or came twice");
  }

  void check_echo(const Payload& reply) const {
    if (reply.data().size() != chosen_.size) throw std::runtime_error("a message of another size");
  }
  rill::client& next_client() { return clients_[turn_++ % clients_.size()]; }

  const options& chosen_;
  std::vector<rill::client> clients_;
  std::size_t turn_ = 0;
  Payload message_;
  std::uint64_t messages_ = 0;
  bench::histogram times_;
  bool stopping_ = false;
};

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
      .streams = static_cast<int>(flags.number("streams", 1)),
      .in_flight = static_cast<int>(flags.number("in-flight", 1)),
      .size = static_cast<std::size_t>(flags.number("size", 16)),
  };
  flags.expect_empty();
  bench::json_line result;
  result.text("case", chosen.name);
  rill::runtime loops;
  load work(chosen);
  std::promise<std::exception_ptr> ended;
  rill::spawn(loops.loop(0), [&]() -> rill::task<> {
    std::exception_ptr failure;
    try {
      co_await work.run(result);
    } catch (...) {
      failure = std::current_exception();
    }
    ended.set_value(failure);
  });
  if (const std::exception_ptr failure = ended.get_future().get()) std::rethrow_exception(failure);
  result.print();
} catch (const std::exception& failure) {
  std::fprintf(stderr, "bench_rill_load: %s\n", failure.what());
  return 1;
}
