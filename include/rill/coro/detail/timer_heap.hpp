// The timers of one home: a pairing heap of intrusive nodes, so that adding and cancelling never allocate.
// Times are nanoseconds of the home's clock.
#pragma once

#include <cstdint>

namespace rill::detail {

/// A moment that stands for "never".
inline constexpr std::int64_t never = INT64_MAX;

/// One pending timer. `fire` runs on the home's thread once, unless the timer is cancelled before.
struct timer_node {
  using function = void (*)(timer_node&) noexcept;

  explicit timer_node(function f) noexcept : fire{f} {}
  timer_node(const timer_node&) = delete;
  timer_node& operator=(const timer_node&) = delete;

  std::int64_t due = never;
  function fire;
  void* owner = nullptr;  // for homes that keep something of their own with a timer

 private:
  friend class timer_heap;
  timer_node* child_ = nullptr;
  timer_node* sibling_ = nullptr;
  timer_node* previous_ = nullptr;  // the left sibling, or the parent of a first child
  std::uint64_t turn_ = 0;          // among timers that are due at the same time
  bool queued_ = false;
};

/// A min-heap by `due`; timers that are due at the same time come in the order in which they were added.
class timer_heap {
 public:
  [[nodiscard]] bool empty() const noexcept { return root_ == nullptr; }
  [[nodiscard]] std::int64_t next_due() const noexcept { return root_ != nullptr ? root_->due : never; }

  void add(timer_node& node) noexcept {
    node.child_ = node.sibling_ = node.previous_ = nullptr;
    node.turn_ = ++turns_;
    node.queued_ = true;
    root_ = root_ != nullptr ? meld(root_, &node) : &node;
  }
  void remove(timer_node& node) noexcept {
    if (!node.queued_) return;
    node.queued_ = false;
    timer_node* rest = merge_pairs(node.child_);
    if (&node == root_) {
      root_ = rest;
      return;
    }
    (node.previous_->child_ == &node ? node.previous_->child_ : node.previous_->sibling_) = node.sibling_;
    if (node.sibling_ != nullptr) node.sibling_->previous_ = node.previous_;
    if (rest != nullptr) root_ = meld(root_, rest);
  }
  /// Removes and returns a timer that is due at `now`, the earliest first; null if there is none.
  timer_node* pop_due(std::int64_t now) noexcept {
    timer_node* first = root_;
    if (first == nullptr || first->due > now) return nullptr;
    remove(*first);
    return first;
  }

 private:
  static timer_node* meld(timer_node* a, timer_node* b) noexcept {
    if (b->due < a->due || (b->due == a->due && b->turn_ < a->turn_)) {
      timer_node* swap = a;
      a = b;
      b = swap;
    }
    b->sibling_ = a->child_;
    if (b->sibling_ != nullptr) b->sibling_->previous_ = b;
    b->previous_ = a;
    a->child_ = b;
    a->sibling_ = a->previous_ = nullptr;
    return a;
  }
  static timer_node* merge_pairs(timer_node* first) noexcept {
    timer_node* pairs = nullptr;  // melded pairs, linked through sibling_, last one first
    while (first != nullptr) {
      timer_node* a = first;
      timer_node* b = a->sibling_;
      first = b != nullptr ? b->sibling_ : nullptr;
      a->sibling_ = a->previous_ = nullptr;
      if (b != nullptr) {
        b->sibling_ = b->previous_ = nullptr;
        a = meld(a, b);
      }
      a->sibling_ = pairs;
      pairs = a;
    }
    timer_node* all = nullptr;
    while (pairs != nullptr) {
      timer_node* following = pairs->sibling_;
      pairs->sibling_ = nullptr;
      all = all != nullptr ? meld(all, pairs) : pairs;
      pairs = following;
    }
    return all;
  }

  timer_node* root_ = nullptr;
  std::uint64_t turns_ = 0;
};

}  // namespace rill::detail
