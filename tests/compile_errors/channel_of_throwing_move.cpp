// A channel whose items may throw while they move: an item could be lost half-way.
// expect: a channel's items must move and be destroyed without throwing
#include <rill/coro/channel.hpp>

struct item {
  item() = default;
#if defined(FIXED)
  item(item&&) noexcept {}
#else
  item(item&&) {}
#endif
};

rill::channel<item> channel{1};
