// Times of gRPC as times of the steady clock, and back.
#include <rill/engine/cq/core.hpp>

#include <doctest/doctest.h>

#include <cstdint>

namespace {

using rill::cq::steady_from;
using rill::cq::time_of;

constexpr std::int64_t never = rill::detail::never;

TEST_CASE("time: there and back") {
  CHECK(steady_from(time_of(0)) == 0);
  CHECK(steady_from(time_of(1'234'567'890'123)) == 1'234'567'890'123);
  CHECK(steady_from(time_of(never)) == never);
}

TEST_CASE("time: a deadline beyond what the clock can tell is none") {
  // What a peer may send at most: 99999999 hours.
  const gpr_timespec hours = gpr_time_from_hours(99'999'999, GPR_TIMESPAN);
  CHECK(steady_from(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), hours)) == never);
  CHECK(steady_from({never / 1'000'000'000, 0, GPR_CLOCK_MONOTONIC}) == never);
  CHECK(steady_from({never / 1'000'000'000 - 1, 999'999'999, GPR_CLOCK_MONOTONIC}) < never);
  CHECK(steady_from(gpr_inf_future(GPR_CLOCK_MONOTONIC)) == never);
  CHECK(steady_from(gpr_inf_future(GPR_CLOCK_REALTIME)) == never);
}

TEST_CASE("time: a deadline before the clock began has passed") {
  CHECK(steady_from(gpr_inf_past(GPR_CLOCK_MONOTONIC)) == 0);
  CHECK(steady_from({-1, 999'999'999, GPR_CLOCK_MONOTONIC}) == 0);
}

}  // namespace
