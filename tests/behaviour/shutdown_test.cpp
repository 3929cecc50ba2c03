// Shutdown: draining is told at once, calls under way may end, and after the grace their tokens trip.
#include "behaviour/fixture.hpp"

#include <rill/coro/event.hpp>
#include <rill/coro/select.hpp>
#include <rill/coro/when_all.hpp>

#include <atomic>
#include <thread>

namespace {

using namespace behaviour;

/// Sets an event when a token trips. For tasks that wait for a token.
struct trip {
  trip(rill::cancellation_token token, rill::event& to) : callback{token, setter{&to}} {}
  struct setter {
    rill::event* to;
    void operator()() const noexcept { to->set(); }
  };
  rill::cancellation_callback<setter> callback;
};

TEST_CASE("shutdown: a stream that heeds draining ends itself, and nothing is lost") {
  deployment d;
  d.methods.handle<&Echo::Service::Chat>(
      [](rill::server_context& context, rill::reader<Note>& in, rill::writer<Note>& out) -> rill::task<> {
        rill::event draining;
        const trip on_drain{context.draining(), draining};
        bool serving = true;
        while (serving) {
          auto next = co_await rill::select(in.read(), draining.wait());
          if (next.index() == 1) {
            serving = false;
          } else if (std::optional<Note>& one = std::get<0>(next)) {
            co_await out.write(*one);
          }
        }
        co_await out.write(note("goodbye"));
      });
  d.run([&](rill::method_caller client) -> rill::task<> {
    auto chat = client.call<&Echo::Service::Chat>();
    co_await chat.write(note("hello"));
    const auto same = co_await chat.read();
    CHECK(same.value().text() == "hello");
    d.engine().drain();
    const auto last = co_await chat.read();
    CHECK(last.value().text() == "goodbye");
    co_await chat.finish();
  });
  d.stop(10s);
}

TEST_CASE("shutdown: a unary call under way is answered, new ones are refused") {
  rill::event began;
  rill::event go;
  deployment d;
  d.methods.handle<&Echo::Service::Say>([&](Note request) -> rill::task<Note> {
    if (request.text() == "early") {
      began.set();
      co_await go.wait();
    }
    co_return request;
  });
  d.run([&](rill::method_caller client) -> rill::task<> {
    const auto early = [&]() -> rill::task<> {
      const Note reply = co_await client.call<&Echo::Service::Say>(note("early"));
      CHECK(reply.text() == "early");
    };
    const auto late = [&]() -> rill::task<> {
      co_await began.wait();
      d.engine().drain();
      bool refused = false;
      while (!refused) {  // a queue server takes the calls that are on their way already
        const rill::status ended = co_await status_of(client.call<&Echo::Service::Say>(note("late")));
        refused = !ended.ok();
      }
      go.set();
    };
    co_await rill::when_all(early(), late());
  });
}

TEST_CASE("shutdown: after the grace the tokens trip, with a reason, and stop waits for the handlers") {
  rill::event began;
  std::atomic<rill::cancel_reason> reason{rill::cancel_reason::none};
  deployment d;
  d.methods.handle<&Echo::Service::Chat>([&](rill::reader<Note>& in, rill::writer<Note>&) -> rill::task<> {
    began.set();
    try {
      while (auto one = co_await in.read()) {
      }
    } catch (const rill::operation_cancelled& cancelled) {
      reason = cancelled.reason();
      throw;
    }
  });
  const rill::method_caller client = d.client();
  // The client's task outlives the server, which memory engines stop on the client's thread.
  if (d.in_memory()) {
    std::optional<rill::bidi_stream<Note, Note>> chat;
    d.run_task([](auto& stream, rill::method_caller to, rill::event& until) -> rill::task<> {
      stream.emplace(to.call<&Echo::Service::Chat>());
      co_await stream->write(Note{});
      co_await until.wait();
    }(chat, client, began));
    d.stop(0s);
    CHECK(reason == rill::cancel_reason::shutdown);
    d.run_task([](auto& stream) -> rill::task<> {
      const rill::status ended = co_await status_of(stream->finish());
      CHECK_FALSE(ended.ok());
      stream.reset();
    }(chat));
    return;
  }
  std::thread stopper{[&] {
    rill::sync_wait([](rill::event& until) -> rill::task<> { co_await until.wait(); }(began));
    d.stop(0s);
    CHECK(reason == rill::cancel_reason::shutdown);
  }};
  d.run_task([](rill::method_caller to) -> rill::task<> {
    auto chat = to.call<&Echo::Service::Chat>();
    co_await chat.write(Note{});
    const rill::status ended = co_await status_of(chat.read());
    CHECK_FALSE(ended.ok());
  }(client));
  stopper.join();
}

}  // namespace
