// The seam on the server's side: what runs a server. Typed servers stand above it.
#pragma once

#include "rill/coro/errors.hpp"
#include "rill/rpc/byte_stream.hpp"

#include <chrono>
#include <span>

namespace rill {

/// Runs a server's calls. *Concurrency*: any thread that is not one of its loops, one call at a time.
class server_engine {
 public:
  server_engine() = default;
  server_engine(const server_engine&) = delete;
  server_engine& operator=(const server_engine&) = delete;
  virtual ~server_engine() = default;

  /// Begins to accept calls of `methods`, which outlive the engine's `stop`.
  /// *Throws*: `std::runtime_error` if an address cannot be used.
  virtual void start(std::span<const method_entry> methods) = 0;
  /// Refuses new calls and trips every call's draining token. Does not wait.
  virtual void drain() noexcept = 0;
  /// After `drain`: waits until every call has ended, at most for `grace`; then trips the tokens of the rest, waits
  /// until they have unwound, and lets go of everything. *Completes* when no loop of the engine runs any more.
  virtual void stop(std::chrono::nanoseconds grace) noexcept = 0;
};

}  // namespace rill
