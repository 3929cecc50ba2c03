// frame_pool: sizes, recycling, its cap, and threads that end.
#include "rill/coro/detail/frame_pool.hpp"

#include "rill/coro/sync_wait.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <utility>
#include <vector>

using rill::detail::frame_pool;
using rill::detail::live_frames;

namespace {

TEST_CASE("frame_pool: blocks of every size are usable, aligned and distinct") {
  std::vector<std::pair<unsigned char*, std::size_t>> blocks;
  for (std::size_t size = 1; size < 20'000; size += 97) {
    auto* block = static_cast<unsigned char*>(frame_pool::allocate(size));
    CHECK(reinterpret_cast<std::uintptr_t>(block) % __STDCPP_DEFAULT_NEW_ALIGNMENT__ == 0);
    std::memset(block, static_cast<int>(size % 251), size);
    blocks.emplace_back(block, size);
  }
  for (auto [block, size] : blocks) {
    CHECK(block[0] == size % 251);
    CHECK(block[size - 1] == size % 251);
    frame_pool::deallocate(block, size);
  }
}

TEST_CASE("frame_pool: counts the frames that are alive") {
  const long before = live_frames();
  void* first = frame_pool::allocate(100);
  void* second = frame_pool::allocate(10'000);
  CHECK(live_frames() == before + 2);
  frame_pool::deallocate(first, 100);
  frame_pool::deallocate(second, 10'000);
  CHECK(live_frames() == before);
}

#if !defined(RILL_ASAN)
TEST_CASE("frame_pool: a freed block serves the next frame of its size class") {
  void* first = frame_pool::allocate(300);
  frame_pool::deallocate(first, 300);
  void* second = frame_pool::allocate(290);
  CHECK(first == second);
  frame_pool::deallocate(second, 290);
}
#endif

TEST_CASE("frame_pool: keeps a bounded number of blocks") {
  // More than the cap of any class; under a leak checker, what is over the cap must have gone back.
  std::vector<void*> blocks;
  for (int i = 0; i < 5000; ++i) blocks.push_back(frame_pool::allocate(500));
  CHECK(std::set<void*>(blocks.begin(), blocks.end()).size() == blocks.size());
  for (void* block : blocks) frame_pool::deallocate(block, 500);
}

TEST_CASE("frame_pool: blocks may be freed on another thread, and threads may end") {
  for (int round = 0; round < 20; ++round) {
    std::vector<void*> blocks;
    std::thread allocates{[&] {
      for (int i = 0; i < 500; ++i) blocks.push_back(frame_pool::allocate(200));
    }};
    allocates.join();
    std::thread only_frees{[&] {
      for (void* block : blocks) frame_pool::deallocate(block, 200);
    }};
    only_frees.join();
  }
}

// Frees a block when its thread ends, possibly after the pool's own clean-up.
struct frees_at_exit {
  ~frees_at_exit() {
    if (block != nullptr) frame_pool::deallocate(block, 200);
    void* late = frame_pool::allocate(200);
    frame_pool::deallocate(late, 200);
  }
  void* block = nullptr;
};
thread_local frees_at_exit late;

TEST_CASE("frame_pool: still works after a thread's clean-up") {
  for (const bool pool_first : {true, false}) {
    std::thread ends{[&] {
      if (!pool_first) late.block = frame_pool::allocate(200);
      void* kept = frame_pool::allocate(200);
      frame_pool::deallocate(kept, 200);
      if (pool_first) late.block = frame_pool::allocate(200);
    }};
    ends.join();
  }
  CHECK(live_frames() == 0);
}

TEST_CASE("frame_pool: every frame of a finished program of tasks is freed") {
  auto leaf = [](int value) -> rill::task<int> { co_return value; };
  auto sum = [&](int count) -> rill::task<int> {
    int total = 0;
    for (int i = 0; i < count; ++i) total += co_await leaf(i);
    co_return total;
  };
  CHECK(rill::sync_wait(sum(100)) == 4950);
  CHECK(live_frames() == 0);
}

}  // namespace
