// timer_heap: order, equal moments, removal, and random use against an ordered map.
#include "rill/coro/detail/timer_heap.hpp"

#include "support.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <utility>

using rill::detail::timer_heap;
using rill::detail::timer_node;
using rill_test::dice;

namespace {

struct timer : timer_node {
  timer() noexcept : timer_node{[](timer_node&) noexcept {}} {}
};

TEST_CASE("timer_heap: empty has nothing due") {
  timer_heap heap;
  CHECK(heap.empty());
  CHECK(heap.next_due() == rill::detail::never);
  CHECK(heap.pop_due(INT64_MAX) == nullptr);
}

TEST_CASE("timer_heap: gives what is due, the earliest first, and leaves the rest") {
  timer_heap heap;
  timer a;
  timer b;
  timer c;
  a.due = 30;
  b.due = 10;
  c.due = 20;
  heap.add(a);
  heap.add(b);
  heap.add(c);
  CHECK(heap.next_due() == 10);
  CHECK(heap.pop_due(9) == nullptr);
  CHECK(heap.pop_due(20) == &b);
  CHECK(heap.pop_due(20) == &c);
  CHECK(heap.pop_due(20) == nullptr);
  CHECK(heap.next_due() == 30);
  CHECK(heap.pop_due(30) == &a);
  CHECK(heap.empty());
}

TEST_CASE("timer_heap: equal moments come in the order in which they were added") {
  timer_heap heap;
  std::deque<timer> timers(50);
  for (timer& one : timers) {
    one.due = 5;
    heap.add(one);
  }
  for (timer& one : timers) CHECK(heap.pop_due(5) == &one);
}

TEST_CASE("timer_heap: removing what is not in it has no effect, and it can be added again") {
  timer_heap heap;
  timer a;
  heap.remove(a);
  a.due = 1;
  heap.add(a);
  heap.remove(a);
  heap.remove(a);
  CHECK(heap.empty());
  a.due = 2;
  heap.add(a);
  CHECK(heap.pop_due(2) == &a);
  heap.remove(a);
  CHECK(heap.empty());
}

TEST_CASE("timer_heap: agrees with an ordered map under random use") {
  using model = std::map<std::pair<std::int64_t, int>, timer*>;
  dice roll{1};
  const int steps = rill_test::stress(200'000);
  timer_heap heap;
  std::deque<timer> timers(300);
  model expected;
  std::map<timer*, model::iterator> where;
  int turn = 0;
  std::int64_t now = 0;
  int wrong = 0;
  for (int step = 0; step < steps; ++step) {
    timer& one = timers[roll(300)];
    const auto found = where.find(&one);
    if (found != where.end()) {
      if (roll(2) == 0) {
        heap.remove(one);
        expected.erase(found->second);
        where.erase(found);
      }
    } else {
      one.due = now + roll(100);
      heap.add(one);
      where[&one] = expected.emplace(std::make_pair(one.due, turn++), &one).first;
    }
    if (roll(10) == 0) {
      now += roll(30);
      while (timer_node* due = heap.pop_due(now)) {
        if (expected.empty() || expected.begin()->second != due) {
          ++wrong;
          break;
        }
        where.erase(expected.begin()->second);
        expected.erase(expected.begin());
      }
      if (!expected.empty() && expected.begin()->first.first <= now) ++wrong;
    }
    const std::int64_t next = expected.empty() ? rill::detail::never : expected.begin()->first.first;
    if (heap.next_due() != next || heap.empty() != expected.empty()) ++wrong;
  }
  CHECK(wrong == 0);
}

}  // namespace
