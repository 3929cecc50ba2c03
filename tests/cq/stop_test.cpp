// Servers that are stopped in every way while they are busy, and clients that go away with calls in flight: nothing
// hangs, every handler ends, and every call has a status. RILL_STRESS multiplies the number of stops.
#include "../coro/support.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

using namespace cq_test;
using namespace std::chrono_literals;

namespace {

enum class stop_kind {
  with_grace,    // long enough for every call
  short_grace,   // not long enough for all; streams heed draining
  no_grace,      // at once
  destructor,    // nobody says anything
  twice,         // from two threads at once, and again
  from_handler,  // a handler begins it, and the destructor ends it
  client_first,  // the client is destroyed with its calls in flight, while the server stops
  kinds,
};

/// What the handlers of one server have seen.
struct handler_counts {
  std::atomic<int> begun{0};
  std::atomic<int> ended{0};
  std::atomic<int> answered{0};  // of those that ended well
};

class handler_guard {
 public:
  explicit handler_guard(handler_counts& in) noexcept : in_{in} { ++in_.begun; }
  handler_guard(const handler_guard&) = delete;
  handler_guard& operator=(const handler_guard&) = delete;
  ~handler_guard() { ++in_.ended; }
  void answer() noexcept { ++in_.answered; }

 private:
  handler_counts& in_;
};

/// What the clients of one server have seen. Each call adds one status.
struct client_counts {
  std::atomic<int> made{0};
  std::atomic<int> good{0};
  std::atomic<int> refused{0};    // UNAVAILABLE
  std::atomic<int> cancelled{0};  // CANCELLED
  std::atomic<int> other{0};

  void add(const rill::status& ended) noexcept {
    switch (ended.error_code()) {
      case rill::status_code::OK:
        ++good;
        break;
      case rill::status_code::UNAVAILABLE:
        ++refused;
        break;
      case rill::status_code::CANCELLED:
        ++cancelled;
        break;
      default:
        MESSAGE("a call ended with " << static_cast<int>(ended.error_code()) << ": "
                                     << ended.error_message());
        ++other;
    }
  }
  [[nodiscard]] int statuses() const noexcept { return good + refused + cancelled + other; }
};

/// A server, and everything that may go on in it.
struct busy_place {
  explicit busy_place(stop_kind how)
      : kind{how}, server{rill::server_options{.loops = 2, .stream_window = 64 * 1024}} {
    server->listen("127.0.0.1:0");
    server->handle<&echo::Say>([this, &self = *server](Note note) { return say(self, std::move(note)); });
    server->handle<&echo::Collect>(
        [this](rill::server_context& context, rill::reader<Note>& in) { return collect(context, in); });
    server->handle<&echo::Expand>([this](rill::server_context& context, Note, rill::writer<Note>& out) {
      return expand(context, out);
    });
    server->handle<&echo::Chat>([this](rill::server_context& context, rill::reader<Note>& in,
                                       rill::writer<Note>& out) { return chat(context, in, out); });
    server->start();
    target = target_of(*server);
  }

  /// Every fourth call sleeps, every fourth blocks a thread of the pool. `self` is not taken from `server`, which says
  /// that there is none as soon as its destruction has begun.
  rill::task<Note> say(rill::server& self, Note note) {
    handler_guard guard{handlers};
    if (note.number() % 4 == 1) co_await rill::sleep_for(2ms);
    if (note.number() % 4 == 2) co_await rill::run_blocking([] { std::this_thread::sleep_for(1ms); });
    if (kind == stop_kind::from_handler && handlers.begun == 200) self.shutdown(5ms);
    guard.answer();
    co_return note;
  }
  /// Under a token that trips when the server drains, if the handlers are to heed that; otherwise under their own.
  [[nodiscard]] rill::cancellation_token leave(rill::server_context& context) const {
    return kind == stop_kind::short_grace ? context.draining() : context.token();
  }
  rill::task<Summary> collect(rill::server_context& context, rill::reader<Note>& in) {
    handler_guard guard{handlers};
    Summary summary;
    try {
      auto reading = count_all(in, summary);
      co_await rill::with_cancellation(leave(context), std::move(reading));
    } catch (const rill::operation_cancelled&) {
      if (context.is_cancelled()) throw;  // otherwise the server only drains
    }
    guard.answer();
    co_return summary;
  }
  static rill::task<> count_all(rill::reader<Note>& in, Summary& summary) {
    Note note;
    while (co_await in.read(note)) summary.set_count(summary.count() + 1);
  }
  rill::task<> expand(rill::server_context& context, rill::writer<Note>& out) {
    handler_guard guard{handlers};
    try {
      auto writing = write_for_ever(out);
      co_await rill::with_cancellation(leave(context), std::move(writing));
    } catch (const rill::operation_cancelled&) {
      if (context.is_cancelled()) throw;
    }
    guard.answer();
  }
  static rill::task<> write_for_ever(rill::writer<Note>& out) {
    Note note;
    note.set_data(std::string(8192, 'x'));
    for (;;) co_await out.write(note);
  }
  rill::task<> chat(rill::server_context& context, rill::reader<Note>& in, rill::writer<Note>& out) {
    handler_guard guard{handlers};
    try {
      auto talking = chat_back(in, out);
      co_await rill::with_cancellation(leave(context), std::move(talking));
    } catch (const rill::operation_cancelled&) {
      if (context.is_cancelled()) throw;
    }
    guard.answer();
  }

  stop_kind kind;
  std::string target;
  handler_counts handlers;
  std::optional<rill::server> server;
};

/// The clients' side: they go on until the server refuses them.
struct load {
  load(busy_place& to, rill::scheduler& on) : place{to}, home{on} {
    for (auto& client : clients) {
      client = std::make_unique<rill::client>(to.target, rill::client_options{.own_connection = true});
    }
    rill::spawn(on, fulfil(run(), done));
  }
  rill::task<> run() {
    std::vector<rill::task<>> work;
    for (unsigned i = 0; i < 12; ++i) work.push_back(call_often(clients[i % 2], i));
    // A client that still sends when its server ends the stream may lose the answer with the connection.
    if (place.kind != stop_kind::with_grace) {
      for (unsigned i = 0; i < 4; ++i) work.push_back(talk(*clients[i % 2]));
      for (unsigned i = 0; i < 2; ++i) work.push_back(upload(*clients[i % 2]));
      for (unsigned i = 0; i < 2; ++i) work.push_back(stare(*clients[i % 2]));
    }
    co_await rill::when_all(std::move(work));
  }
  rill::task<> call_often(const std::unique_ptr<rill::client>& client, unsigned number) {
    Note note;
    note.set_number(number);
    while (client != nullptr) {
      ++seen.made;
      const auto reply = co_await rill::as_result(client->call<&echo::Say>(note));
      seen.add(reply.ok() ? rill::status{} : reply.status());
      if (!reply.ok()) co_return;
      if (++answers == 100) loaded.set();
    }
  }
  /// A stream that is used until it ends has one status, too.
  rill::task<> watched(rill::task<> stream) {
    ++seen.made;
    rill::status ended;
    try {
      co_await std::move(stream);
    } catch (const rill::status_error& error) {
      ended = error.status();
    }
    seen.add(ended);
  }
  rill::task<> talk(rill::client& client) { return watched(talk_on(client)); }
  static rill::task<> talk_on(rill::client& client) {
    auto chat = client.call<&echo::Chat>();
    Note note;
    while (co_await chat.write(note) && co_await chat.read(note)) {
    }
    co_await chat.finish();
  }
  rill::task<> upload(rill::client& client) { return watched(upload_on(client)); }
  static rill::task<> upload_on(rill::client& client) {
    auto stream = client.call<&echo::Collect>();
    Note note;
    note.set_data(std::string(100, 'x'));
    while (co_await stream.write(note)) co_await rill::sleep_for(100us);
    static_cast<void>(co_await stream.finish());
  }
  /// Reads one message, so that the handler's queue fills up, and goes on only when the server begins to stop.
  rill::task<> stare(rill::client& client) { return watched(stare_on(client)); }
  rill::task<> stare_on(rill::client& client) {
    Note note;
    auto stream = client.call<&echo::Expand>(note);
    if (!co_await stream.read(note)) co_return;
    co_await stopping.wait();
    co_await stream.finish();
  }
  void wait_until_loaded() {
    rill::sync_wait([](rill::event& until) -> rill::task<> { co_await until.wait(); }(loaded));
  }

  /// With calls in flight; on the loop that uses them.
  rill::task<> destroy_clients() {
    for (auto& client : clients) client.reset();
    co_return;
  }

  busy_place& place;
  rill::scheduler& home;
  std::array<std::unique_ptr<rill::client>, 2> clients;
  client_counts seen;
  std::atomic<int> answers{0};
  rill::event loaded;
  rill::event stopping;
  std::promise<void> done;
};

void stop(busy_place& place, load& clients) {
  switch (place.kind) {
    case stop_kind::with_grace:
      place.server->shutdown(1h);
      break;
    case stop_kind::short_grace:
      place.server->shutdown(3ms);
      break;
    case stop_kind::no_grace:
      place.server->shutdown(0ns);
      break;
    case stop_kind::twice: {
      std::thread other{[&] { place.server->shutdown(2ms); }};
      place.server->shutdown(1ms);
      other.join();
      place.server->shutdown(1h);
      break;
    }
    case stop_kind::client_first: {
      std::thread other{[&] { place.server->shutdown(2ms); }};
      run_on(clients.home, clients.destroy_clients());
      other.join();
      break;
    }
    default:
      break;  // the destructor
  }
  place.server.reset();
}

/// ThreadSanitizer makes them twenty times slower.
int stops(int number) {
#if defined(RILL_TSAN)
  number = (number + 3) / 4;
#endif
  return rill_test::stress(number);
}

void stop_under_load(stop_kind kind, int rounds) {
  rill::runtime runtime{1};
  for (int round = 0; round < rounds; ++round) {
    busy_place place{kind};
    load clients{place, runtime.next()};
    clients.wait_until_loaded();
    clients.stopping.set();
    stop(place, clients);
    clients.done.get_future().get();
    // Every handler that began has ended, and every call has one status.
    CHECK(place.handlers.begun == place.handlers.ended);
    CHECK(clients.seen.made == clients.seen.statuses());
    CHECK(clients.seen.other == 0);
    // Whoever was accepted had an answer, if there was time for it.
    if (kind == stop_kind::with_grace) {
      CHECK(place.handlers.answered.load() == place.handlers.begun.load());
      CHECK(clients.seen.good.load() == place.handlers.answered.load());
    }
    // Nobody is there any more.
    if (clients.clients[0] != nullptr) {
      const auto late = rill::sync_wait([](rill::client& client) -> rill::task<rill::result<Note>> {
        Note note;
        co_return co_await rill::as_result(client.call<&echo::Say>(note));
      }(*clients.clients[0]));
      CHECK(late.status().error_code() == rill::status_code::UNAVAILABLE);
    }
  }
}

}  // namespace

TEST_CASE("stop: with a grace every call that was accepted is answered") {
  stop_under_load(stop_kind::with_grace, stops(10));
}
TEST_CASE("stop: with a short grace") { stop_under_load(stop_kind::short_grace, stops(8)); }
TEST_CASE("stop: with no grace") { stop_under_load(stop_kind::no_grace, stops(8)); }
TEST_CASE("stop: by the destructor alone") { stop_under_load(stop_kind::destructor, stops(8)); }
TEST_CASE("stop: from two threads, and again") { stop_under_load(stop_kind::twice, stops(8)); }
TEST_CASE("stop: from a handler") { stop_under_load(stop_kind::from_handler, stops(4)); }
TEST_CASE("stop: with clients that are destroyed meanwhile") {
  stop_under_load(stop_kind::client_first, stops(4));
}
