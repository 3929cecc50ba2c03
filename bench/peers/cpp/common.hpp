// What the C++ servers of the benchmark share: flags, the Document that is published, counters and the way a server
// starts and ends.
#pragma once

#include "bench.pb.h"

#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace bench {

struct server_flags {
  int port = 0;
  int threads = 1;
  bool hint = false;          // --mode hint: batch writes when another message is known to follow
  bool encode_once = false;   // --encode once: an event is serialised once for all subscribers
  std::size_t capacity = 64;  // --capacity: events a subscriber's queue holds
  int window = 0;             // --window: bytes a stream may have in flight; 0 leaves gRPC's default
  int posted = 0;           // --posted: requests of each method posted on each queue; 0: the server's choice
  bool cork = true;         // --cork off: rill without corking
  unsigned lifetime = 900;  // --lifetime: seconds after which the server ends by itself
};

inline server_flags parse_server_flags(int argc, char** argv) {
  server_flags flags;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(std::string(name) + " needs a value");
    const std::string value = argv[i + 1];
    if (name == "--port")
      flags.port = std::stoi(value);
    else if (name == "--threads")
      flags.threads = std::stoi(value);
    else if (name == "--mode" && (value == "plain" || value == "hint"))
      flags.hint = value == "hint";
    else if (name == "--encode" && (value == "each" || value == "once"))
      flags.encode_once = value == "once";
    else if (name == "--capacity")
      flags.capacity = std::stoul(value);
    else if (name == "--window")
      flags.window = std::stoi(value);
    else if (name == "--posted")
      flags.posted = std::stoi(value);
    else if (name == "--cork" && (value == "on" || value == "off"))
      flags.cork = value == "on";
    else if (name == "--lifetime")
      flags.lifetime = static_cast<unsigned>(std::stoul(value));
    else
      throw std::invalid_argument("unknown flag " + std::string(name) + " " + value);
  }
  return flags;
}

/// Blocks SIGINT and SIGTERM in this thread and those it starts, so that `wait_for_stop` receives them.
inline void block_stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

/// Announces the port on standard output, then waits for SIGINT, SIGTERM or the end of the lifetime.
inline void wait_for_stop(int port, unsigned lifetime) {
  std::printf("{\"ready\": true, \"port\": %d}\n", port);
  std::fflush(stdout);
  alarm(lifetime);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGALRM);
  int signal = 0;
  sigwait(&set, &signal);
}

/// What a server did, written as its last line: a load generator that only sees HTTP statuses is checked against it.
struct server_counts {
  std::uint64_t unary = 0;
  std::uint64_t received = 0;
  std::uint64_t sent = 0;

  server_counts& operator+=(const server_counts& other) {
    unary += other.unary;
    received += other.received;
    sent += other.sent;
    return *this;
  }

  void print() const {
    std::printf("{\"unary\": %llu, \"received\": %llu, \"sent\": %llu}\n",
                static_cast<unsigned long long>(unary), static_cast<unsigned long long>(received),
                static_cast<unsigned long long>(sent));
    std::fflush(stdout);
  }
};

/// The same document in every server: about 16 KiB serialised.
inline void fill_document(rill::bench::v1::Document& document) {
  document.set_title("A document that costs something to serialise");
  document.set_published(true);
  for (std::uint32_t i = 0; i < 128; ++i) {
    auto& section = *document.add_sections();
    section.set_title("Section " + std::to_string(i));
    section.set_text("The quick brown fox jumps over the lazy dog.");
    for (std::uint32_t mark = 0; mark < 8; ++mark) section.add_marks(i * mark);
    section.set_weight(i * 0.5);
    section.mutable_author()->set_name("Author " + std::to_string(i % 7));
    section.mutable_author()->set_mail("author@example.com");
    section.mutable_author()->set_id(i);
  }
  for (std::uint64_t i = 0; i < 32; ++i) {
    (*document.mutable_labels())["label-" + std::to_string(i)] = "value-" + std::to_string(i);
    (*document.mutable_counters())["counter-" + std::to_string(i)] = i * 1000;
    document.add_samples(static_cast<std::int64_t>(i) - 16);
  }
}

/// One published event: `size` bytes, or the document when `size` is 0.
inline void fill_event(rill::bench::v1::Event& event, std::uint32_t size) {
  if (size == 0)
    fill_document(*event.mutable_document());
  else
    event.set_data(std::string(size, 'x'));
}

}  // namespace bench
