// A server for faulty clients: fault_server. It says how each stream ended, as its handler saw it.
#include "echo.grpc.pb.h"

#include <rill/rill.hpp>

#include <chrono>
#include <cstdio>
#include <string>

namespace {

using namespace rill::test::v1;
using namespace std::chrono_literals;
using echo = Echo::Service;

/// One line, at once, from any thread.
void say(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

const char* name_of(rill::cancel_reason why) {
  return why == rill::cancel_reason::deadline   ? "deadline"
         : why == rill::cancel_reason::shutdown ? "shutdown"
                                                : "cancelled";
}

/// Runs a handler's work and says how it ended. `count` is what it has read or written by then.
rill::task<> told(std::string name, const int& count, rill::task<> work) {
  const auto line = [&](const char* how) { say(name + " " + how + " after " + std::to_string(count)); };
  try {
    co_await std::move(work);
    line("ended");
  } catch (const rill::operation_cancelled& cancelled) {
    line((std::string{"broken: "} + name_of(cancelled.reason())).c_str());
    throw;
  } catch (const rill::status_error& error) {
    line("refused");
    throw;
  }
}

rill::task<> read_all(std::string name, rill::reader<Note>& in, int& count) {
  Note note;
  while (co_await in.read(note)) {
    if (++count == 1) say(name + " began");
  }
}

rill::task<Summary> collect(rill::reader<Note>& in) {
  int count = 0;
  co_await told("collect", count, read_all("collect", in, count));
  Summary summary;
  summary.set_count(count);
  co_return summary;
}

rill::task<> answer_all(rill::reader<Note>& in, rill::writer<Note>& out, int& count) {
  Note note;
  while (co_await in.read(note)) {
    if (++count == 1) say("chat began");
    co_await out.write(note);
  }
}
rill::task<> chat(rill::reader<Note>& in, rill::writer<Note>& out) {
  int count = 0;
  co_await told("chat", count, answer_all(in, out, count));
}

rill::task<> write_forever(rill::writer<Note>& out, int& count) {
  Note note;
  note.set_data(std::string(4096, 'x'));
  bool full = false;
  for (;;) {
    if (!full && !out.try_write(note)) {
      full = true;
      say("expand waits");
    }
    co_await out.write(note);
    if (++count == 1) say("expand began");
  }
}
rill::task<> expand(Note, rill::writer<Note>& out) {
  int count = 0;
  co_await told("expand", count, write_forever(out, count));
}

}  // namespace

int main() {
  rill::server server{{.loops = 2, .max_receive_size = 1024 * 1024, .stream_window = 64 * 1024}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Say>([](Note note) -> rill::task<Note> { co_return note; });
  server.handle<&echo::Collect>(collect);
  server.handle<&echo::Expand>(expand);
  server.handle<&echo::Chat>(chat);
  // A peer that is silent for long is asked whether it is there.
  server.configure([](grpc::ServerBuilder& builder) {
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 1000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 1000);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  });
  server.start();
  say("listening on port " + std::to_string(server.port()));
  server.run(2s);
  say("stopped");
}
