// Mixed calls with faults for a long time: soak <seconds>. Memory, threads and descriptors must stay flat, and at the end
// nothing may be left. Exits with 1 and says why if something did not hold.
#include "echo.grpc.pb.h"

#include <rill/rill.hpp>

#include <arpa/inet.h>
#include <dirent.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace rill::test::v1;
using namespace std::chrono_literals;
using echo = Echo::Service;
using steady = std::chrono::steady_clock;

// What the process holds.

struct footprint {
  double resident_mib = 0;
  std::size_t threads = 0;
  std::size_t descriptors = 0;
};

std::size_t entries_of(const char* folder) {
  std::size_t count = 0;
  DIR* const open = ::opendir(folder);
  if (open == nullptr) return 0;
  while (const dirent* entry = ::readdir(open)) count += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(open);
  return count;
}

footprint look() {
  footprint seen;
  ::malloc_trim(0);  // what is free does not count
  unsigned long total = 0;
  unsigned long resident = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%lu %lu", &total, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  seen.resident_mib = static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1048576;
  seen.threads = entries_of("/proc/self/task");
  seen.descriptors = entries_of("/proc/self/fd");
  return seen;
}

/// What the process holds over some time: memory at its lowest, since a leak shows there first, and the most of the rest.
footprint merge(const footprint& a, const footprint& b) {
  return {a.threads == 0 ? b.resident_mib : std::min(a.resident_mib, b.resident_mib),
          std::max(a.threads, b.threads), std::max(a.descriptors, b.descriptors)};
}

// What happens.

struct outcomes {
  std::atomic<std::int64_t> begun{0};
  std::atomic<std::int64_t> good{0};
  std::atomic<std::int64_t> failed{0};  // with a status
  std::atomic<std::int64_t> false_ends{0};
  std::atomic<std::int64_t> handlers{0};  // alive
};

class alive {
 public:
  explicit alive(outcomes& in) noexcept : in_{in} { ++in_.handlers; }
  alive(const alive&) = delete;
  alive& operator=(const alive&) = delete;
  ~alive() { --in_.handlers; }

 private:
  outcomes& in_;
};

/// A number below 0 asks to be slow, or to fail.
rill::task<Note> say(Note note, outcomes& seen) {
  alive guard{seen};
  if (note.number() == -1) co_await rill::sleep_for(20ms);
  if (note.number() == -2) throw rill::status_error{rill::status_code::NOT_FOUND, "asked for"};
  if (note.number() == -3) co_await rill::run_blocking([] { std::this_thread::sleep_for(1ms); });
  co_return note;
}

/// The first message says how many there are. An end before that many is a mistake.
rill::task<Summary> collect(rill::reader<Note>& in, outcomes& seen) {
  alive guard{seen};
  Summary summary;
  Note note;
  std::int64_t planned = 0;
  while (co_await in.read(note)) {
    planned = note.number();
    summary.set_count(summary.count() + 1);
  }
  if (summary.count() != planned) ++seen.false_ends;
  co_return summary;
}

rill::task<> expand(rill::writer<Note>& out, outcomes& seen) {
  alive guard{seen};
  Note note;
  note.set_data(std::string(2000, 'x'));
  for (int i = 0; i < 2000; ++i) co_await out.write(note);
}

rill::task<> chat(rill::reader<Note>& in, rill::writer<Note>& out, outcomes& seen) {
  alive guard{seen};
  Note note;
  while (co_await in.read(note)) co_await out.write(note);
}

void set_up(rill::server& server, outcomes& seen) {
  server.listen("127.0.0.1:0");
  server.on_error([](std::string_view, std::string_view) {});
  server.handle<&echo::Say>([&](Note note) { return say(std::move(note), seen); });
  server.handle<&echo::Collect>([&](rill::reader<Note>& in) { return collect(in, seen); });
  server.handle<&echo::Expand>([&](Note, rill::writer<Note>& out) { return expand(out, seen); });
  server.handle<&echo::Chat>(
      [&](rill::reader<Note>& in, rill::writer<Note>& out) { return chat(in, out, seen); });
  server.start();
}

/// Small pseudo-random numbers.
class dice {
 public:
  explicit dice(unsigned seed) noexcept : state_{seed * 2654435761U + 1} {}
  unsigned operator()() noexcept {
    state_ = state_ * 1664525U + 1013904223U;
    return state_ >> 12;
  }

 private:
  unsigned state_;
};

rill::task<> unary(rill::client& client, dice& roll) {
  Note note;
  note.set_number(-static_cast<std::int64_t>(roll() % 8));
  note.set_data(std::string(roll() % 3000, 'x'));
  rill::call_options options;
  if (roll() % 4 == 0) options.timeout = std::chrono::microseconds{roll() % 5000};
  static_cast<void>(co_await client.call<&echo::Say>(note, options));
}

rill::task<> too_large(rill::client& client) {
  Note note;
  note.set_data(std::string(3 * 1024 * 1024, 'x'));
  static_cast<void>(co_await client.call<&echo::Say>(note));
}

rill::task<> upload(rill::client& client, dice& roll) {
  const int planned = static_cast<int>(roll() % 50) + 2;
  const unsigned fault = roll() % 4;
  rill::call_options options;
  if (fault == 1) options.timeout = std::chrono::microseconds{500 + roll() % 3000};
  Note note;
  note.set_number(planned);
  note.set_data(std::string(roll() % 2000, 'x'));
  auto stream = client.call<&echo::Collect>(options);
  const int sent = fault == 0 ? planned : static_cast<int>(roll()) % (planned - 1) + 1;
  for (int i = 0; i < sent; ++i) {
    if (!co_await stream.write(note)) break;
  }
  if (fault == 1) co_await rill::sleep_for(5ms);
  if (fault == 2) stream.cancel();
  if (fault == 3) co_return;  // the stream is destroyed
  if (fault == 1) stream.cancel();
  static_cast<void>(co_await stream.finish());
}

rill::task<> download(rill::client& client, dice& roll) {
  Note note;
  auto stream = client.call<&echo::Expand>(note);
  const unsigned wanted = roll() % 2500;
  for (unsigned i = 0; i < wanted; ++i) {
    if (roll() % 16 == 0) {
      const auto outcome = co_await rill::select(stream.read(note), rill::sleep_for(0s));
      if (outcome.index() == 1 || std::get<0>(outcome)) continue;
      co_return;
    }
    if (!co_await stream.read(note)) co_return;
  }
}

rill::task<> talk(rill::client& client, dice& roll) {
  auto stream = client.call<&echo::Chat>();
  Note note;
  const unsigned turns = roll() % 50;
  for (unsigned i = 0; i < turns; ++i) {
    if (!co_await stream.write(note) || !co_await stream.read(note)) break;
  }
  if (roll() % 2 == 0) co_await stream.finish();
}

rill::task<> own_client(const std::string& target) {
  rill::client client{target, {.own_connection = true}};
  Note note;
  static_cast<void>(co_await client.call<&echo::Say>(note));
}

rill::task<> one_thing(const std::string& target, rill::client& client, dice& roll) {
  switch (roll() % 16) {
    case 0:
      return own_client(target);
    case 1:
      return too_large(client);
    case 2:
    case 3:
      return download(client, roll);
    case 4:
    case 5:
    case 6:
      return talk(client, roll);
    case 7:
    case 8:
    case 9:
    case 10:
      return upload(client, roll);
    default:
      return unary(client, roll);
  }
}

rill::task<> work(const std::string& target, rill::client& client, unsigned seed, steady::time_point until,
                  outcomes& seen) {
  dice roll{seed};
  while (steady::now() < until) {
    ++seen.begun;
    try {
      co_await one_thing(target, client, roll);
      ++seen.good;
    } catch (const rill::status_error&) {
      ++seen.failed;
    }
  }
}

/// Connections that say nothing, something wrong, or half of something, and end in different ways.
void write_garbage(int port, steady::time_point until) {
  dice roll{99};
  while (steady::now() < until) {
    const int open = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    if (::connect(open, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      std::string bytes = roll() % 2 == 0 ? "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" : "";
      for (unsigned i = roll() % 300; i != 0; --i) bytes += static_cast<char>(roll() % 256);
      static_cast<void>(::send(open, bytes.data(), bytes.size(), MSG_NOSIGNAL));
      const linger at_once{1, 0};
      if (roll() % 2 == 0) ::setsockopt(open, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    std::this_thread::sleep_for(5ms);
    ::close(open);
  }
}

rill::task<> call_until_refused(rill::client& client, std::atomic<int>& answered) {
  Note note;
  for (;;) {
    const auto reply = co_await rill::as_result(client.call<&echo::Say>(note));
    if (!reply.ok()) co_return;
    ++answered;
  }
}

/// Servers that come and go under load.
void stop_servers(steady::time_point until, outcomes& seen, std::atomic<int>& stops) {
  while (steady::now() < until) {
    rill::server server{{.loops = 1}};
    set_up(server, seen);
    rill::client client{"127.0.0.1:" + std::to_string(server.port()), {.own_connection = true}};
    std::atomic<int> answered{0};
    std::atomic<bool> over{false};
    std::thread stopping{[&] {
      while (answered < 20 && !over) std::this_thread::sleep_for(1ms);
      server.shutdown(stops % 2 == 0 ? 0ns : 20ms);
    }};
    rill::sync_wait(call_until_refused(client, answered));
    over = true;
    stopping.join();
    ++stops;
    std::this_thread::sleep_for(200ms);
  }
}

rill::task<> all_workers(std::vector<rill::task<>> workers, std::promise<void>& done) {
  co_await rill::when_all(std::move(workers));
  done.set_value();
}

void print(const char* when, const footprint& seen) {
  std::printf("%-8s %7.1f MiB, %zu threads, %zu descriptors\n", when, seen.resident_mib, seen.threads,
              seen.descriptors);
  std::fflush(stdout);
}

bool holds(bool condition, const char* what) {
  if (!condition) std::printf("soak: this does not hold: %s\n", what);
  return condition;
}

/// The second and the last quarter of the time, when everything has warmed up.
struct quarters {
  footprint early;
  footprint late;
};

quarters watch(std::chrono::seconds length, const outcomes& seen) {
  quarters found;
  const auto begin = steady::now();
  auto next_line = begin + 10s;
  for (;;) {
    const auto now = steady::now();
    if (now >= begin + length) return found;
    const footprint current = look();
    if (now >= begin + length / 4 && now < begin + length / 2) found.early = merge(found.early, current);
    if (now >= begin + 3 * length / 4) found.late = merge(found.late, current);
    if (now >= next_line) {
      next_line += 10s;
      std::printf("%5.0f s  %9lld calls ", std::chrono::duration<double>(now - begin).count(),
                  static_cast<long long>(seen.good + seen.failed));
      print("", current);
    }
    std::this_thread::sleep_for(250ms);
  }
}

}  // namespace

int main(int count, char** arguments) {
  const std::chrono::seconds length{count > 1 ? std::atoi(arguments[1]) : 600};
  if (length < 8s) {
    std::fputs("soak: at least 8 seconds\n", stderr);
    return 2;
  }
  ::mallopt(M_ARENA_MAX, 2);  // an arena for each of gRPC's threads would keep what is free in pieces
  outcomes seen;
  std::atomic<int> stops{0};
  quarters found;
  {
    rill::server server{{.loops = 2, .max_receive_size = 1024 * 1024, .stream_window = 64 * 1024}};
    set_up(server, seen);
    const std::string target = "127.0.0.1:" + std::to_string(server.port());
    rill::runtime runtime{2};
    std::vector<std::unique_ptr<rill::client>> clients;
    for (int i = 0; i < 4; ++i) {
      clients.push_back(std::make_unique<rill::client>(
          target, rill::client_options{.stream_window = 64 * 1024, .own_connection = true}));
    }
    const auto until = steady::now() + length;
    std::vector<std::promise<void>> done(runtime.size());
    for (std::size_t loop = 0; loop < runtime.size(); ++loop) {
      std::vector<rill::task<>> workers;
      for (unsigned i = 0; i < 8; ++i) {
        workers.push_back(work(target, *clients[(loop + 2 * i) % clients.size()],
                               static_cast<unsigned>(loop) * 100 + i + 1, until, seen));
      }
      rill::spawn(runtime.loop(loop), all_workers(std::move(workers), done[loop]));
    }
    std::thread garbage{[&] { write_garbage(server.port(), until); }};
    std::thread stopper{[&] { stop_servers(until, seen, stops); }};
    found = watch(length, seen);
    garbage.join();
    stopper.join();
    for (std::promise<void>& one : done) one.get_future().get();
    server.shutdown(10s);
  }

  std::printf(
      "soak: %lld s, %lld calls, %lld ended OK, %lld with another status, %d servers stopped under load\n",
      static_cast<long long>(length.count()), static_cast<long long>(seen.begun.load()),
      static_cast<long long>(seen.good.load()), static_cast<long long>(seen.failed.load()), stops.load());
  print("2nd 1/4:", found.early);
  print("4th 1/4:", found.late);
  bool good = holds(seen.begun == seen.good + seen.failed, "every call has ended");
  good &= holds(seen.good > 0 && seen.failed > 0 && stops > 0, "calls of every kind were made");
  good &= holds(seen.false_ends == 0, "a broken upload is never taken for its end");
  good &= holds(seen.handlers == 0, "no handler is left");
  good &= holds(rill::detail::live_frames() == 0, "no coroutine frame is left");
  good &= holds(found.late.resident_mib <= found.early.resident_mib * 1.05 + 4, "memory is flat");
  good &= holds(found.late.threads <= found.early.threads + 4, "the number of threads is flat");
  good &= holds(found.late.descriptors <= found.early.descriptors + 16, "the number of descriptors is flat");
  std::puts(good ? "soak: passed" : "soak: FAILED");
  return good ? 0 : 1;
}
