// start_thread: starts the engine's threads. std::thread's constructor is instantiated for each type that it is given,
// and here it is given one.
#pragma once

#include <thread>

namespace rill::cq {

/// A thread that calls `run` with `owner`.
inline std::thread start_thread(void (*run)(void* owner), void* owner) {
  return std::thread{[run, owner] { run(owner); }};
}

}  // namespace rill::cq
