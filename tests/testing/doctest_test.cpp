// RILL_TEST_CASE: bodies that await, with doctest's assertions, subcases and decorators.
#include <rill/coro/sleep.hpp>
#include <rill/coro/this_context.hpp>
#include <rill/testing/doctest.hpp>

#include <chrono>
#include <stdexcept>

namespace {

using namespace std::chrono_literals;

rill::task<int> answer() {
  co_await rill::sleep_for(1h);
  co_return 42;
}

rill::task<int> failure() {
  co_await rill::sleep_for(1h);
  throw std::runtime_error{"failed"};
}

int bodies = 0;
int subcases = 0;

RILL_TEST_CASE("a body awaits inside assertions") {
  CHECK(co_await answer() == 42);
  REQUIRE_EQ(co_await answer(), 42);
  CHECK_THROWS_AS(co_await failure(), std::runtime_error);
}

RILL_TEST_CASE("each subcase is a run of its own" * doctest::timeout(60)) {
  ++bodies;
  const int before = co_await answer();
  SUBCASE("first") { subcases += before; }
  SUBCASE("second") {
    subcases += before;
    co_await rill::sleep_for(1h);
  }
}

RILL_TEST_CASE("subcases were entered once each") {
  CHECK(bodies == 2);
  CHECK(subcases == 84);
  co_return;
}

RILL_TEST_CASE("a body that fails an assertion on purpose" * doctest::should_fail()) {
  REQUIRE(co_await answer() == 41);
  FAIL("not reached");
}

RILL_TEST_CASE("a body that throws" * doctest::should_fail()) { co_await failure(); }

}  // namespace
