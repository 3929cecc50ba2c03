// with_cancellation for a std::stop_token.
#include "rill/coro/stop_token.hpp"

#include "structure_support.hpp"

#include <doctest/doctest.h>

#include <stop_token>
#include <string>
#include <thread>

namespace {

using namespace rill_test;
using rill::task;
using rill::with_cancellation;

task<std::string> how_it_ends(std::stop_token token, rill::event& gate) {
  try {
    co_await with_cancellation(std::move(token), gate.wait());
  } catch (const rill::operation_cancelled& why) {
    co_return why.what();
  }
  co_return "completed";
}

TEST_CASE("a request to stop cancels") {
  std::stop_source stop;
  rill::event gate;
  SUBCASE("before") {
    stop.request_stop();
    CHECK(rill::sync_wait(how_it_ends(stop.get_token(), gate)) == "cancelled");
  }
  SUBCASE("from another thread, meanwhile") {
    std::thread other{[&] { stop.request_stop(); }};
    CHECK(rill::sync_wait(how_it_ends(stop.get_token(), gate)) == "cancelled");
    other.join();
  }
  SUBCASE("not at all") {
    gate.set();
    CHECK(rill::sync_wait(how_it_ends(stop.get_token(), gate)) == "completed");
    stop.request_stop();
  }
  SUBCASE("no token") {
    gate.set();
    CHECK(rill::sync_wait(how_it_ends({}, gate)) == "completed");
  }
}

TEST_CASE("the awaiter's own cancellation still flows in") {
  std::stop_source stop;
  rill::event gate;
  rill::cancellation_source source;
  source.cancel(rill::cancel_reason::shutdown);
  CHECK(rill::sync_wait(how_it_ends(stop.get_token(), gate), source.token()) == "cancelled by shutdown");
}

TEST_CASE("a home destroyed in the middle forgets the token") {
  std::stop_source stop;
  rill::event gate;
  {
    jumping_loop loop;
    loop.spawn([&]() -> task<> { static_cast<void>(co_await how_it_ends(stop.get_token(), gate)); });
    loop.turn();
  }
  CHECK(stop.request_stop());
}

}  // namespace
