// A client that goes on until it is ended: fault_client <address> upload|chat|download. It says when it has begun.
#include "echo.grpc.pb.h"

#include <rill/rill.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

namespace {

using namespace rill::test::v1;
using namespace std::chrono_literals;
using echo = Echo::Service;

void say(const char* line) {
  std::puts(line);
  std::fflush(stdout);
}

Note some_note() {
  Note note;
  note.set_data(std::string(1000, 'x'));
  return note;
}

rill::task<> upload(rill::client& client) {
  auto stream = client.call<&echo::Collect>();
  const Note note = some_note();
  for (int i = 0; co_await stream.write(note); ++i) {
    if (i == 0) say("began");
    co_await rill::sleep_for(1ms);
  }
  static_cast<void>(co_await stream.finish());
}

rill::task<> chat(rill::client& client) {
  auto stream = client.call<&echo::Chat>();
  Note note = some_note();
  for (int i = 0; co_await stream.write(note); ++i) {
    if (!co_await stream.read(note)) break;
    if (i == 0) say("began");
  }
  co_await stream.finish();
}

rill::task<> download(rill::client& client) {
  Note note;
  auto stream = client.call<&echo::Expand>(note);
  for (int i = 0; co_await stream.read(note); ++i) {
    if (i == 0) say("began");
    co_await rill::sleep_for(1ms);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  rill::client client{arguments[1]};
  const std::string_view what = arguments[2];
  try {
    rill::sync_wait(what == "upload" ? upload(client) : what == "chat" ? chat(client) : download(client));
    say("ended");
  } catch (const rill::status_error& error) {
    say(("failed with " + std::to_string(static_cast<int>(error.code()))).c_str());
  }
}
