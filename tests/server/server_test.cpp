// What belongs to the server object alone: the order of its calls. What it serves is tested under behaviour/.
#include "echo.grpc.pb.h"

#include <rill/rill.hpp>

#include <doctest/doctest.h>

#include <barrier>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

using namespace rill::test::v1;
using namespace std::chrono_literals;

rill::task<Note> say(Note request) { co_return request; }

rill::task<> expect_service(rill::client client) {
  Note request;
  request.set_text("here");
  const Note reply =
      co_await client.call<&Echo::Service::Say>(request, {.timeout = 20s, .wait_for_ready = true});
  CHECK(reply.text() == "here");
}

TEST_CASE("server: what is said before it starts cannot be said after") {
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.handle<&Echo::Service::Say>(say);
  CHECK_THROWS_AS(server.handle<&Echo::Service::Say>(say), std::logic_error);
  CHECK_THROWS_WITH_AS(static_cast<void>(server.port(1)), doctest::Contains("not listened on"),
                       std::out_of_range);
  server.start();
  CHECK(server.port() > 0);
  CHECK(server.native() != nullptr);
  CHECK_THROWS_AS(server.start(), std::logic_error);
  CHECK_THROWS_AS(
      server.handle<&Echo::Service::Expand>([](const Note&) -> rill::async_generator<Note> { co_return; }),
      std::logic_error);
  CHECK_THROWS_AS(server.on_error([](std::string_view, std::string_view) {}), std::logic_error);
  CHECK_THROWS_AS(server.configure([](grpc::ServerBuilder&) {}), std::logic_error);
  rill::sync_wait(expect_service(rill::client{"127.0.0.1:" + std::to_string(server.port())}));
  rill::sync_wait(expect_service(rill::client{server.in_process()}));
}

TEST_CASE("server: shutdown by two threads at once") {
  for (int round = 0; round < 50; ++round) {
    rill::server server{{.loops = 1}};
    server.listen("127.0.0.1:0");
    server.handle<&Echo::Service::Say>(say);
    server.start();
    std::barrier together{2};
    std::thread other{[&] {
      together.arrive_and_wait();
      server.shutdown(10s);
    }};
    together.arrive_and_wait();
    server.shutdown(10s);
    other.join();
  }
}

TEST_CASE("server: run serves until shutdown") {
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.listen("127.0.0.1:0");
  server.handle<&Echo::Service::Say>(say);
  bool configured = false;
  server.configure([&](grpc::ServerBuilder&) { configured = true; });
  server.start();
  std::thread runner{[&] { server.run(10s); }};
  for (const std::size_t listener : {std::size_t{0}, std::size_t{1}}) {
    rill::sync_wait(expect_service(rill::client{"127.0.0.1:" + std::to_string(server.port(listener))}));
  }
  server.shutdown(10s);
  runner.join();
  CHECK(configured);
  CHECK(server.port(0) != server.port(1));
}

TEST_CASE("server: a client that uses a channel of its own") {
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.handle<&Echo::Service::Say>(say);
  server.start();
  const auto channel =
      grpc::CreateChannel("127.0.0.1:" + std::to_string(server.port()), grpc::InsecureChannelCredentials());
  rill::sync_wait(expect_service(rill::client{channel}));
  const rill::client named{"127.0.0.1:" + std::to_string(server.port()),
                           grpc::InsecureChannelCredentials(),
                           {.own_connection = true}};
  rill::sync_wait(expect_service(named));
}

}  // namespace
