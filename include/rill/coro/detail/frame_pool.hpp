// Recycles coroutine frames per thread, so that a call in the steady state allocates nothing.
// A frame may be freed on another thread than its own: it joins that thread's pool, up to a cap.
#pragma once

#include "rill/coro/detail/config.hpp"

#include <atomic>
#include <cstddef>
#include <new>

namespace rill::detail {

#if defined(RILL_COUNT_FRAMES)
inline std::atomic<long> frame_count{0};
/// The number of coroutine frames alive in the process; only in builds with `RILL_COUNT_FRAMES`.
inline long live_frames() noexcept { return frame_count.load(std::memory_order_acquire); }
#endif

/// Thread-local free lists of memory blocks by size class.
///
/// The lists themselves have no destructor, so that touching them costs no guard; the first block that a thread
/// keeps registers the clean-up at its exit. After that clean-up blocks go straight back to the heap.
class frame_pool {
 public:
  static void* allocate(std::size_t size) {
#if defined(RILL_COUNT_FRAMES)
    frame_count.fetch_add(1, std::memory_order_relaxed);
#endif
    return take(size);
  }
  static void deallocate(void* block, std::size_t size) noexcept {
#if defined(RILL_COUNT_FRAMES)
    frame_count.fetch_sub(1, std::memory_order_release);
#endif
    give(block, size);
  }

 private:
#if defined(RILL_ASAN)
  // Recycling would hide a use after free.
  static void* take(std::size_t size) { return ::operator new(size); }
  static void give(void* block, std::size_t size) noexcept { ::operator delete(block, size); }
#else
  static constexpr std::size_t granularity = 128;
  static constexpr std::size_t classes = 64;  // blocks up to 8 KiB
  static constexpr std::size_t kept_bytes_per_class = 256 * 1024;
  static constexpr std::size_t kept_blocks_per_class = 1024;

  struct block_header {
    block_header* next;
  };
  /// States of `phase`: 0 nothing kept yet, 1 clean-up registered, 2 cleaned up.
  struct lists {
    block_header* head[classes];
    unsigned short count[classes];
    unsigned char phase;
  };
  struct cleaner {
    cleaner() noexcept = default;
    cleaner(const cleaner&) = delete;
    cleaner& operator=(const cleaner&) = delete;
    ~cleaner() {
      local.phase = 2;
      for (block_header*& head : local.head) {
        while (head != nullptr) {
          block_header* following = head->next;
          ::operator delete(head);
          head = following;
        }
      }
    }
    void touch() noexcept {}
  };
  static inline constinit thread_local lists local{};

  static std::size_t class_of(std::size_t size) noexcept {
    return (size + granularity - 1) / granularity - 1;
  }
  static unsigned short cap_of(std::size_t index) noexcept {
    const std::size_t by_size = kept_bytes_per_class / ((index + 1) * granularity);
    return static_cast<unsigned short>(by_size < kept_blocks_per_class ? by_size : kept_blocks_per_class);
  }

  static void* take(std::size_t size) {
    const std::size_t index = class_of(size);
    if (index >= classes) return ::operator new(size);
    lists& mine = local;
    if (block_header* block = mine.head[index]; block != nullptr) {
      mine.head[index] = block->next;
      --mine.count[index];
      return block;
    }
    return ::operator new((index + 1) * granularity);
  }
  static void give(void* memory, std::size_t size) noexcept {
    const std::size_t index = class_of(size);
    lists& mine = local;
    if (index >= classes || mine.count[index] >= cap_of(index) || (mine.phase != 1 && !keep_begins(mine))) {
      ::operator delete(memory);
      return;
    }
    auto* block = static_cast<block_header*>(memory);
    block->next = mine.head[index];
    mine.head[index] = block;
    ++mine.count[index];
  }
  static bool keep_begins(lists& mine) noexcept {
    if (mine.phase == 2) return false;
    mine.phase = 1;
    static thread_local cleaner at_exit;
    at_exit.touch();
    return true;
  }
#endif
};

}  // namespace rill::detail
