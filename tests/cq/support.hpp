// What the tests of the queue engine share: tasks run on an event loop, and a server on a free port.
#pragma once

#include "echo.grpc.pb.h"

#include <rill/rill.hpp>

#include <exception>
#include <future>
#include <string>
#include <utility>

namespace cq_test {

using namespace rill::test::v1;
using echo = Echo::Service;

inline rill::task<> fulfil(rill::task<> work, std::promise<void>& done) {
  std::exception_ptr failed;
  try {
    co_await std::move(work);
  } catch (...) {
    failed = std::current_exception();
  }
  failed != nullptr ? done.set_exception(failed) : done.set_value();
}

/// Runs `work` on `loop` and waits for it.
inline void run_on(rill::scheduler& loop, rill::task<> work) {
  std::promise<void> done;
  rill::spawn(loop, fulfil(std::move(work), done));
  done.get_future().get();
}

inline std::string target_of(const rill::server& server) {
  return "127.0.0.1:" + std::to_string(server.port());
}

inline rill::task<Note> say_back(Note note) { co_return note; }
inline rill::task<> chat_back(rill::reader<Note>& in, rill::writer<Note>& out) {
  Note note;
  while (co_await in.read(note)) co_await out.write(note);
}

}  // namespace cq_test
