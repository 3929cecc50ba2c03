// rill as its users write it: the benchmark's service with the flags of the other servers.
#include "bench.grpc.pb.h"
#include "peers/cpp/common.hpp"
#include "rill/coro/broadcast.hpp"
#include "rill/coro/task.hpp"
#include "rill/rpc/encoded.hpp"
#include "rill/server/server.hpp"

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace {

using namespace rill::bench::v1;

/// One `server_counts` for each loop's thread: handlers resume on their own loop, so counting needs no atomics.
class counters {
 public:
  bench::server_counts& mine() {
    thread_local bench::server_counts& found = add();
    return found;
  }
  /// Once the loops have ended.
  [[nodiscard]] bench::server_counts total() const {
    bench::server_counts sum;
    for (const auto& each : all_) sum += each;
    return sum;
  }

 private:
  bench::server_counts& add() {
    const std::lock_guard lock(mutex_);
    return all_.emplace_back();
  }

  std::mutex mutex_;
  std::deque<bench::server_counts> all_;
};

counters counts;

rill::task<Payload> unary(Payload request) {
  ++counts.mine().unary;
  co_return request;
}

rill::task<> down(DownRequest request, rill::writer<Payload>& out) {
  Payload message;
  message.set_data(std::string(request.size(), 'x'));
  for (std::uint64_t i = 0; i < request.count(); ++i) {
    co_await out.write(message);
    ++counts.mine().sent;
  }
}

rill::task<UpSummary> up(rill::reader<Payload>& in) {
  UpSummary summary;
  Payload message;
  while (co_await in.read(message)) {
    ++counts.mine().received;
    summary.set_messages(summary.messages() + 1);
    summary.set_bytes(summary.bytes() + message.data().size());
  }
  co_return summary;
}

rill::task<> echo(rill::reader<Payload>& in, rill::writer<Payload>& out) {
  Payload message;
  while (co_await in.read(message)) {
    ++counts.mine().received;
    co_await out.write(message);
    ++counts.mine().sent;
  }
}

/// Fan-out through one hub, whose items are what a subscriber's stream writes: an event, or its bytes.
template <typename Item>
class news {
 public:
  explicit news(std::size_t capacity) : capacity_(capacity) {}

  rill::task<> subscribe(SubscribeRequest, rill::writer<Event>& out) {
    auto mine = hub_.subscribe({.capacity = capacity_, .overflow = rill::overflow::suspend});
    Event greeting;
    co_await out.write(greeting);
    while (auto item = co_await mine.receive()) {
      co_await out.write(message_of(*item));
      ++counts.mine().sent;
    }
  }

  rill::task<PublishReply> publish(PublishRequest request) {
    Event event;
    bench::fill_event(event, request.size());
    for (std::uint64_t i = 1; i <= request.count(); ++i) {
      event.set_sequence(i);
      co_await hub_.publish(Item{make_item(event)});
    }
    PublishReply reply;
    reply.set_subscribers(hub_.subscribers());
    co_return reply;
  }

 private:
  static constexpr bool serialised = std::is_same_v<Item, rill::encoded<Event>>;

  static Item make_item(const Event& event) {
    if constexpr (serialised)
      return Item{event};
    else
      return std::make_shared<const Event>(event);
  }
  static const auto& message_of(const Item& item) {
    if constexpr (serialised)
      return item;
    else
      return *item;
  }

  rill::broadcast<Item> hub_;
  std::size_t capacity_;
};

template <typename Item>
void serve(const bench::server_flags& flags) {
  news<Item> service(flags.capacity);
  rill::server_options options;
  options.loops = flags.threads;
  options.stream_window = static_cast<std::size_t>(flags.window);
  if (!flags.cork) options.corking = std::chrono::nanoseconds(0);
  if (flags.posted > 0) options.requests_per_method = flags.posted;
  rill::server server{options};
  server.listen("127.0.0.1:" + std::to_string(flags.port));
  server.handle<&Bench::Service::Unary>(unary);
  server.handle<&Bench::Service::Down>(down);
  server.handle<&Bench::Service::Up>(up);
  server.handle<&Bench::Service::Echo>(echo);
  server.handle<&Bench::Service::Subscribe>(service, &news<Item>::subscribe);
  server.handle<&Bench::Service::Publish>(service, &news<Item>::publish);
  server.start();
  bench::wait_for_stop(server.port(), flags.lifetime);
  server.shutdown(std::chrono::milliseconds(200));
}

}  // namespace

int main(int argc, char** argv) {
  const bench::server_flags flags = bench::parse_server_flags(argc, argv);
  bench::block_stop_signals();
  if (flags.encode_once)
    serve<rill::encoded<Event>>(flags);
  else
    serve<std::shared_ptr<const Event>>(flags);
  counts.total().print();
}
