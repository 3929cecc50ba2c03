// homed_handler: a handler that runs on a home of its own instead of the call's loop, such as on an Asio executor.
#pragma once

#include "rill/coro/home_lease.hpp"

#include <concepts>

namespace rill {

/// - `home_lease rill_home()`: a home for one call. *Concurrency*: any thread. *Throws*: if there is none any more.
/// - `rill_handler()`: the plain handler, as a reference.
template <class F>
concept homed_handler = requires(F& handler) {
  { handler.rill_home() } -> std::same_as<home_lease>;
  handler.rill_handler();
};

}  // namespace rill
