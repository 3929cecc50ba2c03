// co_await in doctest bodies: RILL_TEST_CASE("name") { CHECK(co_await answer() == 42); }
// The body is a task that runs in virtual time. Needs doctest, and RILL_TEST_CASE wherever TEST_CASE may stand.
#pragma once

#include "rill/coro/task.hpp"
#include "rill/testing/virtual_time.hpp"

#include <doctest/doctest.h>

/// A test case whose body is a `rill::task<>`, run by `rill::testing::run`: its clock jumps over waits, and a body that
/// nothing can wake fails. Assertions, subcases and decorators such as `* doctest::timeout(5)` work as in `TEST_CASE`.
#define RILL_TEST_CASE(...) RILL_TEST_CASE_NAMED(DOCTEST_ANONYMOUS(rill_test_case_), __VA_ARGS__)
#define RILL_TEST_CASE_NAMED(function, ...)                    \
  static ::rill::task<> function();                            \
  TEST_CASE(__VA_ARGS__) { ::rill::testing::run(function()); } \
  static ::rill::task<> function()
