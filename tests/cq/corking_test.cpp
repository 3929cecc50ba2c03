// Corking: a saturated loop's messages leave together, every socket is uncorked in time, and nothing else changes.
#include "certificate.hpp"
#include "support.hpp"

#include <rill/engine/cq/peer_sockets.hpp>

#include <doctest/doctest.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace cq_test;
using namespace std::chrono_literals;

#if defined(__linux__)

namespace {

int port_of(int socket, int (*which)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (which(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return -1;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return -1;
}

bool is_corked(int socket) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(socket, IPPROTO_TCP, TCP_CORK, &value, &size) == 0 && value != 0;
}

/// The connections that this process has accepted on a port, as they were when it was made: to look for them takes long.
class connections {
 public:
  connections() = default;
  explicit connections(int port) {
    for (int socket = 3; socket < 256; ++socket) {
      if (port_of(socket, ::getsockname) == port && port_of(socket, ::getpeername) > 0) {
        sockets_.push_back(socket);
      }
    }
  }
  [[nodiscard]] bool any_corked() const { return std::any_of(sockets_.begin(), sockets_.end(), is_corked); }

 private:
  std::vector<int> sockets_;
};

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}
int listen_somewhere() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = loopback(0);
  REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(socket, 4) == 0);
  return socket;
}
/// From `own_port`, or from any if that is 0, and then it says from which.
int connect_from(int& own_port, int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  REQUIRE(::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
  const sockaddr_in own = loopback(own_port);
  REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0);
  const sockaddr_in address = loopback(port);
  REQUIRE(::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  own_port = port_of(socket, ::getsockname);
  return socket;
}
std::string peer_at(int port) { return "ipv4:127.0.0.1:" + std::to_string(port); }

/// Returns when no connection of the server is corked; hangs if one stays so.
void wait_until_uncorked(int port) {
  while (connections{port}.any_corked()) std::this_thread::yield();
}

constexpr int listeners = 48;  // more than a batch

/// A server whose streams all wait for one event and then write, so that its loop has many of them to resume at once.
class waking_server {
 public:
  /// Unless told otherwise, what is corked stays so for the whole turn, on a slow machine too.
  explicit waking_server(rill::server_options options = {.loops = 1, .corking = 1h}) : server_{options} {
    server_.handle<&echo::Chat>([this](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
      Note note;
      while (co_await in.read(note)) {
        rill::event& wake = arrived();
        co_await wake.wait();
        resumed();
        note.set_text("woken");
        co_await out.write(note);
      }
    });
  }
  rill::server& server() { return server_; }
  void start(const std::string& address = "127.0.0.1:0",
             std::shared_ptr<grpc::ServerCredentials> credentials = nullptr) {
    server_.listen(address, std::move(credentials));
    server_.start();
  }
  /// Has all `streams` of `client` woken at once, and gives how many of them found a corked connection.
  int wake(rill::client& client, int streams = listeners) {
    {
      const std::lock_guard held{mutex_};
      corked_ = 0;
      waiting_ = 0;
      wanted_ = streams;
      wake_.emplace();
    }
    int woken = 0;
    run_on(runtime_.next(), [](rill::client& to, int count, int& answered) -> rill::task<> {
      std::vector<rill::task<>> all;
      for (int i = 0; i < count; ++i) all.push_back(listen_once(to, i, answered));
      co_await rill::when_all(std::move(all));
    }(client, streams, woken));
    CHECK(woken == streams);
    const std::lock_guard held{mutex_};
    return corked_;
  }
  rill::runtime& runtime() { return runtime_; }

 private:
  static rill::task<> listen_once(rill::client& to, int number, int& answered) {
    auto chat = to.call<&echo::Chat>();
    Note note;
    note.set_number(number);
    co_await chat.write(note);
    if (co_await chat.read(note) && note.number() == number && note.text() == "woken") ++answered;
    co_await chat.finish();
  }

  /// The last one to come wakes them all.
  rill::event& arrived() {
    const std::lock_guard held{mutex_};
    if (++waiting_ == wanted_) {
      accepted_ = connections{server_.port()};
      wake_->set();
    }
    return *wake_;
  }
  void resumed() {
    const std::lock_guard held{mutex_};
    if (accepted_.any_corked()) ++corked_;
  }

  std::mutex mutex_;
  std::optional<rill::event> wake_;
  connections accepted_;  // when the streams were woken
  int waiting_ = 0;
  int wanted_ = 0;
  int corked_ = 0;
  rill::server server_;
  rill::runtime runtime_{1};
};

/// Keeps a server's one loop busy until `calls` have been sent, so that they are ready together.
class flood {
 public:
  /// What each call of the flood does on the server.
  explicit flood(std::function<rill::task<>(flood&)> each, std::chrono::nanoseconds corking = 1h,
                 int requests = 64)
      : each_{std::move(each)}, server_{{.loops = 1, .requests_per_method = requests, .corking = corking}} {
    server_.listen("127.0.0.1:0");
    server_.handle<&echo::Say>([this](Note note) -> rill::task<Note> {
      if (note.number() == blocks) {
        accepted_ = connections{server_.port()};
        blocked_.count_down();
        sent_.wait();  // blocks the loop
      } else if (note.number() >= 0) {
        co_await each_(*this);
      }
      co_return note;
    });
    server_.start();
  }
  int port() { return server_.port(); }
  /// How many calls have ended, however they did, with the two that come before the flood.
  int ended() const { return ended_; }
  /// Of the flood's one connection, for what runs on the loop.
  bool is_corked() const { return accepted_.any_corked(); }
  rill::server& server() { return server_; }
  /// Gives how many calls were answered with what they had sent.
  int run(int calls) {
    rill::client client{target_of(server_), {.own_connection = true}};
    int answered = 0;
    run_on(runtime_.next(), send(client, calls, answered));
    return answered;
  }

 private:
  static constexpr int connects = -2;
  static constexpr int blocks = -1;

  rill::task<> say(rill::client& to, int number, int& answered) {
    Note note;
    note.set_number(number);
    const auto reply = co_await rill::as_result(to.call<&echo::Say>(note));
    if (reply.ok() && reply->number() == number) ++answered;
    ++ended_;
  }
  rill::task<> send(rill::client& to, int calls, int& answered) {
    int first = 0;
    co_await say(to, connects, first);  // from now on a call leaves at once
    auto block = [&]() -> rill::task<> { co_await say(to, blocks, first); };
    auto rest = [&]() -> rill::task<> {
      blocked_.wait();  // the first call's, which has left: its task has run before
      std::vector<rill::task<>> all;
      for (int i = 0; i < calls; ++i) all.push_back(say(to, i, answered));
      auto release = [this]() -> rill::task<> {
        co_await rill::yield();
        sent_.count_down();
      };
      all.push_back(release());
      co_await rill::when_all(std::move(all));
    };
    co_await rill::when_all(block(), late(rest));
    CHECK(first == 2);
  }
  /// Starts `work` once what was started before it has been sent.
  template <class F>
  static rill::task<> late(F& work) {
    co_await rill::yield();
    co_await work();
  }

  std::function<rill::task<>(flood&)> each_;
  connections accepted_;
  std::latch blocked_{1};
  std::latch sent_{1};
  int ended_ = 0;
  rill::server server_;
  rill::runtime runtime_{1};
};

}  // namespace

TEST_CASE("corking: a socket is corked once, released together with the others, and no later than told") {
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.start();
  int sockets[2];
  for (int& one : sockets) {
    one = ::socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = loopback(server.port());
    REQUIRE(::connect(one, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  const auto corked = [&] { return std::vector<bool>{is_corked(sockets[0]), is_corked(sockets[1])}; };
  {
    rill::cq::corked_sockets turn{100'000};
    CHECK_FALSE(turn.is_open());
    turn.open();
    CHECK(turn.is_open());
    CHECK_FALSE(turn.any());
    turn.cork(sockets[0], 1'000);
    turn.cork(sockets[1], 90'000);
    turn.cork(sockets[0], 95'000);
    CHECK(corked() == std::vector<bool>{true, true});
    turn.release_if_late(100'999);
    CHECK(corked() == std::vector<bool>{true, true});
    turn.release_if_late(101'000);
    CHECK(corked() == std::vector<bool>{false, false});
    CHECK_FALSE(turn.any());
    CHECK(turn.is_open());
    turn.cork(sockets[1], 200'000);
    turn.release_if_late(299'999);
    CHECK(corked() == std::vector<bool>{false, true});
    turn.close();
    CHECK(corked() == std::vector<bool>{false, false});
    CHECK_FALSE(turn.is_open());
    turn.open();
    turn.cork(sockets[0], 300'000);
  }
  CHECK(corked() == std::vector<bool>{false, false});
  for (const int one : sockets) ::close(one);
}

// What follows needs a version of gRPC that is known to tell its sockets.
TEST_SUITE("corking" * doctest::skip(!rill::cq::can_cork)) {
  TEST_CASE("corking: streams that are woken together write together, and are uncorked afterwards") {
    waking_server waking;
    waking.start();
    rill::client client{target_of(waking.server())};
    // The first one finds nothing corked; what follows does.
    CHECK(waking.wake(client) > 0);
    wait_until_uncorked(waking.server().port());
  }

  TEST_CASE("corking: a client of IPv6") {
    waking_server waking;
    try {
      waking.start("[::1]:0");
    } catch (const std::runtime_error&) {
      MESSAGE("no IPv6 here");
      return;
    }
    rill::client client{"[::1]:" + std::to_string(waking.server().port())};
    CHECK(waking.wake(client) > 0);
    wait_until_uncorked(waking.server().port());
  }

  TEST_CASE("corking: with TLS") {
    waking_server waking;
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back({cq_test::private_key, cq_test::certificate});
    waking.start("127.0.0.1:0", grpc::SslServerCredentials(options));
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    rill::client client{
        target_of(waking.server()), grpc::SslCredentials({cq_test::certificate, {}, {}}), {}, arguments};
    CHECK(waking.wake(client) > 0);
    wait_until_uncorked(waking.server().port());
  }

  TEST_CASE("corking: calls that are ready together are answered together, and uncorked afterwards") {
    std::atomic<int> corked{0};
    flood calls{[&](flood& self) -> rill::task<> {
      if (self.is_corked()) ++corked;
      co_return;
    }};
    CHECK(calls.run(600) == 600);
    CHECK(corked > 0);
    wait_until_uncorked(calls.port());
  }

  TEST_CASE("corking: a saturated loop posts more requests, and answers as before") {
    for (const int requests : {1, 16}) {
      flood calls{[](flood&) -> rill::task<> { co_return; }, 1h, requests};
      CHECK(calls.run(600) == 600);
      wait_until_uncorked(calls.port());
    }
  }

  TEST_CASE("corking: what another thread posts does not wait for a whole batch") {
    int begun = 0;  // all on the loop
    std::atomic<int> begun_before{-1};
    rill::event go;
    flood calls{[&](flood&) -> rill::task<> {
                  const int number = begun++;
                  if (number == 0) {
                    co_await go.wait();
                    begun_before = begun;
                  } else if (number == 1) {
                    std::thread{[&] { go.set(); }}.join();
                  }
                },
                1h, 200};
    CHECK(calls.run(200) == 200);
    CHECK(begun_before > 0);
    // Up to 64 until the loop sees that it is saturated, and 32 of the batch.
    CHECK(begun_before <= 110);
  }

  TEST_CASE("corking: no handler is resumed while an answer has waited for as long as it may") {
    bool last = false;  // the loop's alone
    std::atomic<int> twice{0};
    flood calls{[&](flood& self) -> rill::task<> {
                  const bool corked = self.is_corked();
                  if (corked && last) ++twice;
                  last = corked;
                  const auto from = std::chrono::steady_clock::now();
                  while (std::chrono::steady_clock::now() - from < 150us) {
                  }
                  co_return;
                },
                100us};
    CHECK(calls.run(200) == 200);
    // An answer may wait for the one handler that follows it, and then leaves.
    CHECK(twice == 0);
    wait_until_uncorked(calls.port());
  }

  TEST_CASE("corking: handlers that wait for long hold nothing back") {
    rill::event go;
    std::atomic<int> here{0};
    int port = 0;
    flood calls{[&](flood&) -> rill::task<> {
      if (++here % 2 == 0) co_await go.wait();
    }};
    port = calls.port();
    std::thread watcher{[&] {
      while (here != 200) std::this_thread::yield();
      wait_until_uncorked(port);  // while half of them wait
      go.set();
    }};
    CHECK(calls.run(200) == 200);
    watcher.join();
    wait_until_uncorked(port);
  }

  TEST_CASE("corking: a lone message is never corked") {
    rill::server server{{.loops = 1, .corking = 1h}};
    server.listen("127.0.0.1:0");
    std::atomic<int> corked{0};
    server.handle<&echo::Chat>([&](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
      const connections accepted{server.port()};
      Note note;
      while (co_await in.read(note)) {
        co_await out.write(note);
        co_await rill::yield();  // what was written leaves
        if (accepted.any_corked()) ++corked;
      }
    });
    server.start();
    rill::client client{target_of(server)};
    rill::sync_wait([](rill::client& to) -> rill::task<> {
      auto chat = to.call<&echo::Chat>();
      Note note;
      for (int i = 0; i < 300; ++i) {
        co_await chat.write(note);
        CHECK(co_await chat.read(note));
      }
      co_await chat.finish();
    }(client));
    CHECK(corked == 0);
  }

  TEST_CASE("corking: off means off") {
    waking_server waking{{.loops = 1, .corking = 0ns}};
    waking.start();
    rill::client client{target_of(waking.server())};
    for (int i = 0; i < 5; ++i) CHECK(waking.wake(client) == 0);
  }

  TEST_CASE("corking: unix sockets and calls in the process are as they were") {
    waking_server waking;
    const std::string address = "unix:/tmp/rill-cork-" + std::to_string(::getpid()) + ".sock";
    waking.start(address);
    rill::client over_socket{address};
    CHECK(waking.wake(over_socket) == 0);
    rill::client inside{waking.server().in_process()};
    CHECK(waking.wake(inside) == 0);
  }

  TEST_CASE("corking: connections that end while corked, and numbers that are used again") {
    waking_server waking;
    waking.start();
    rill::client stays{target_of(waking.server()), {.own_connection = true}};
    for (int round = 0; round < 10; ++round) {
      rill::client goes{target_of(waking.server()), {.own_connection = true}};
      CHECK(waking.wake(goes) > 0);
      CHECK(waking.wake(stays) > 0);
    }
    wait_until_uncorked(waking.server().port());
  }

  TEST_CASE("corking: a client that cancels its streams as they are woken takes nothing from another's") {
    rill::server server{{.loops = 1, .corking = 1h}};
    server.listen("127.0.0.1:0");
    rill::event wake;
    std::atomic<int> waiting{0};
    server.handle<&echo::Chat>([&](rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
      Note note;
      co_await in.read(note);
      ++waiting;
      co_await rill::uncancellable(wake.wait());
      while (true) co_await out.write(note);
    });
    server.start();
    rill::runtime runtime{1};
    rill::client stays{target_of(server), {.own_connection = true}};
    int received = 0;
    run_on(runtime.next(),
           [](auto& target, rill::client& keeps, auto& count, rill::event& all, int& got) -> rill::task<> {
             Note note;
             std::vector<rill::bidi_stream<Note, Note>> kept;
             for (int i = 0; i < listeners; ++i) {
               kept.push_back(keeps.call<&echo::Chat>());
               co_await kept.back().write(note);
             }
             {
               rill::client goes{target_of(target), {.own_connection = true}};
               std::vector<rill::bidi_stream<Note, Note>> dropped;
               for (int i = 0; i < listeners; ++i) {
                 dropped.push_back(goes.call<&echo::Chat>());
                 co_await dropped.back().write(note);
               }
               while (count != 2 * listeners) co_await rill::yield();
               all.set();
             }  // the connection goes while all of them write
             for (int i = 0; i < 20; ++i) {
               for (auto& one : kept) {
                 if (co_await one.read(note)) ++got;
               }
             }
           }(server, stays, waiting, wake, received));
    CHECK(received == 20 * listeners);
    server.shutdown(0s);
  }

  TEST_CASE("corking: a server that stops while it is saturated leaves no call without an end") {
    std::atomic<int> here{0};
    std::latch saturated{1};
    flood calls{[&](flood&) -> rill::task<> {
      if (++here == 100) saturated.count_down();
      co_return;
    }};
    std::thread stopper{[&] {
      saturated.wait();
      calls.server().shutdown(10s);
    }};
    CHECK(calls.run(200) > 0);
    CHECK(calls.ended() == 202);
    stopper.join();
  }

  TEST_CASE("corking: every one of many connections is told apart, also when numbers are used again") {
    struct connection {
      int accepted = -1;
      int client = -1;
      int port = 0;
    };
    const int listener = listen_somewhere();
    const auto table = rill::cq::peer_sockets::make();
    const auto connect = [&] {
      connection one;
      one.client = connect_from(one.port, port_of(listener, ::getsockname));
      one.accepted = ::accept(listener, nullptr, nullptr);
      table->add(one.accepted);
      return one;
    };
    std::vector<connection> all;
    for (int i = 0; i < 150; ++i) all.push_back(connect());
    for (int round = 0; round < 3; ++round) {
      for (const connection& one : all) CHECK(table->find(peer_at(one.port)) == one.accepted);
      std::vector<int> gone;
      for (std::size_t i = static_cast<std::size_t>(round); i < all.size(); i += 3) {
        gone.push_back(all[i].port);
        ::close(all[i].accepted);
        ::close(all[i].client);
      }
      for (std::size_t i = static_cast<std::size_t>(round); i < all.size(); i += 3) all[i] = connect();
      // Nobody asks for what has gone; at least it is not taken for what has its number now.
      for (const int port : gone) {
        const int found = table->find(peer_at(port));
        CHECK(std::none_of(all.begin(), all.end(),
                           [&](const connection& one) { return one.accepted == found && one.port != port; }));
      }
    }
    // A number that goes to a socket of another kind.
    const int other = ::socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(::dup2(other, all[0].accepted) == all[0].accepted);
    ::close(other);
    table->add(all[0].accepted);
    CHECK(table->find(peer_at(all[0].port)) == rill::cq::no_socket);
    for (const connection& one : all) {
      ::close(one.accepted);
      ::close(one.client);
    }
    ::close(listener);
  }

  TEST_CASE("corking: a peer that two connections share is not told apart, so neither is corked") {
    const int first = listen_somewhere();
    const int second = listen_somewhere();
    int client_port = 0;
    const int to_first = connect_from(client_port, port_of(first, ::getsockname));
    const int to_second = connect_from(client_port, port_of(second, ::getsockname));
    const int at_first = ::accept(first, nullptr, nullptr);
    const int at_second = ::accept(second, nullptr, nullptr);
    const std::string peer = peer_at(client_port);

    const auto table = rill::cq::peer_sockets::make();
    CHECK(table->find(peer) == rill::cq::no_socket);
    table->add(at_first);
    CHECK(table->find(peer) == at_first);
    table->add(at_second);
    CHECK(table->find(peer) == rill::cq::no_socket);

    // The number of a connection that has ended, with another peer and then with the same one.
    ::close(at_first);
    ::close(to_first);
    int other_port = 0;
    const int to_third = connect_from(other_port, port_of(first, ::getsockname));
    const int at_third = ::accept(first, nullptr, nullptr);
    CHECK(at_third == at_first);
    table->add(at_third);
    CHECK(table->find(peer_at(other_port)) == at_third);
    CHECK(table->find(peer) == at_second);  // the only one now
    for (const int one : {first, second, to_second, at_second, to_third, at_third}) ::close(one);
  }
}

#endif
