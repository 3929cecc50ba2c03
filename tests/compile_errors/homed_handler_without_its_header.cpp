// needs: rill
// A handler with a home of its own, in a program that does not include what such handlers need.
// expect: rill: a handler with a home of its own needs #include <rill/server/homed.hpp>
#include "echo.grpc.pb.h"

#include <rill/server/method_table.hpp>
#if defined(FIXED)
#include <rill/server/homed.hpp>
#endif

using namespace rill::test::v1;

struct handler {
  rill::home_lease rill_home();
  auto& rill_handler() { return say; }

  rill::task<Note> (*say)(Note request);
};

void set_up(rill::method_table& methods) { methods.handle<&Echo::Service::Say>(handler{}); }
