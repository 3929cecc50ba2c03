// Several servers and clients in one process, and servers that call.
#include "support.hpp"

#include <doctest/doctest.h>
#include <grpcpp/security/server_credentials.h>

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

using namespace cq_test;

TEST_CASE("process: a server that calls itself") {
  std::optional<rill::client> self;
  rill::event connected;  // `self` is there
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Say>([&](Note note) -> rill::task<Note> {
    if (note.number() == 0) co_return note;
    co_await connected.wait();
    note.set_number(note.number() - 1);
    note.set_text(note.text() + ".");
    co_return co_await self->call<&echo::Say>(note);  // on the same loop
  });
  server.start();
  self.emplace(target_of(server));
  connected.set();
  Note note;
  note.set_number(20);
  const Note reply = rill::sync_wait([](rill::client& client, Note& from) -> rill::task<Note> {
    co_return co_await client.call<&echo::Say>(from);
  }(*self, note));
  CHECK(reply.text() == std::string(20, '.'));
}

TEST_CASE("process: a second server behind the first, each with a client") {
  rill::server inner{{.loops = 1}};
  inner.listen("127.0.0.1:0");
  inner.handle<&echo::Say>([](Note note) -> rill::task<Note> {
    note.set_text(note.text() + " and back");
    co_return note;
  });
  inner.start();
  rill::client to_inner{target_of(inner)};

  rill::server outer{{.loops = 1}};
  outer.listen("127.0.0.1:0");
  outer.handle<&echo::Say>(
      [&](const Note& note) -> rill::task<Note> { co_return co_await to_inner.call<&echo::Say>(note); });
  outer.start();
  rill::client to_outer{target_of(outer)};

  const Note reply = rill::sync_wait([](rill::client& client) -> rill::task<Note> {
    Note note;
    note.set_text("there");
    co_return co_await client.call<&echo::Say>(note);
  }(to_outer));
  CHECK(reply.text() == "there and back");
}

TEST_CASE("process: two servers cannot listen on one port, and the second says so") {
  rill::server first{{.loops = 1}};
  first.listen("127.0.0.1:0");
  first.start();
  rill::server second{{.loops = 1}};
  second.listen(target_of(first));
  CHECK_THROWS_WITH_AS(second.start(), doctest::Contains(target_of(first).c_str()), std::runtime_error);
}

TEST_CASE("process: an address that makes no sense is named") {
  rill::server server{{.loops = 1}};
  server.listen("nowhere.invalid:http:80");
  CHECK_THROWS_WITH_AS(server.start(), doctest::Contains("nowhere.invalid:http:80"), std::runtime_error);
}

TEST_CASE("process: a certificate that is none is refused") {
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({"no key", "no certificate"});
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0", grpc::SslServerCredentials(options));
  CHECK_THROWS_AS(server.start(), std::runtime_error);
}

TEST_CASE("process: a server on a unix socket") {
  const std::string address = "unix:/tmp/rill-test-" + std::to_string(::getpid()) + ".sock";
  rill::server server{{.loops = 1}};
  server.listen(address);
  server.handle<&echo::Say>(say_back);
  server.start();
  rill::client client{address};
  Note note;
  note.set_number(3);
  const Note reply = rill::sync_wait([](rill::client& to, Note& sent) -> rill::task<Note> {
    co_return co_await to.call<&echo::Say>(sent);
  }(client, note));
  CHECK(reply.number() == 3);
}

TEST_CASE("process: a client that reaches nobody says so") {
  rill::client client{"127.0.0.1:1"};
  Note note;
  const auto reply = rill::sync_wait([](rill::client& to, Note& sent) -> rill::task<rill::result<Note>> {
    co_return co_await rill::as_result(to.call<&echo::Say>(sent));
  }(client, note));
  CHECK_FALSE(reply.ok());
  CHECK(reply.status().error_code() == rill::status_code::UNAVAILABLE);
}
