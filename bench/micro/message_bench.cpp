// What protobuf's arenas save: a request that is parsed and destroyed, on the heap and on an arena whose memory is used
// again. `copied` moves it into a message of its own, as a handler that keeps its request needs.
#include "../peers/cpp/common.hpp"
#include "bench.pb.h"

#include <benchmark/benchmark.h>
#include <google/protobuf/arena.h>

#include <string>
#include <utility>
#include <vector>

namespace {

using rill::bench::v1::Document;
using rill::bench::v1::Payload;

void fill(Payload& message) { message.set_data(std::string(98, 'x')); }
void fill(Document& message) { bench::fill_document(message); }

template <class Message>
std::string serialised() {
  Message message;
  fill(message);
  return message.SerializeAsString();
}

template <class Message>
void on_heap(benchmark::State& state) {
  const std::string bytes = serialised<Message>();
  for (auto _ : state) {
    Message message;
    benchmark::DoNotOptimize(message.ParseFromString(bytes));
  }
}

template <class Message, bool copied>
void on_arena(benchmark::State& state) {
  const std::string bytes = serialised<Message>();
  std::vector<char> memory(64 * 1024);
  google::protobuf::ArenaOptions options;
  options.initial_block = memory.data();
  options.initial_block_size = memory.size();
  for (auto _ : state) {
    google::protobuf::Arena arena{options};
    auto* const message = google::protobuf::Arena::CreateMessage<Message>(&arena);
    benchmark::DoNotOptimize(message->ParseFromString(bytes));
    if constexpr (copied) {
      Message kept{std::move(*message)};
      benchmark::DoNotOptimize(kept);
    }
  }
}

BENCHMARK(on_heap<Payload>)->Name("payload_on_heap");
BENCHMARK(on_arena<Payload, false>)->Name("payload_on_arena");
BENCHMARK(on_arena<Payload, true>)->Name("payload_on_arena_copied");
BENCHMARK(on_heap<Document>)->Name("document_on_heap");
BENCHMARK(on_arena<Document, false>)->Name("document_on_arena");
BENCHMARK(on_arena<Document, true>)->Name("document_on_arena_copied");

}  // namespace

BENCHMARK_MAIN();
