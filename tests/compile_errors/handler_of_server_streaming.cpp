// needs: rill
// A handler whose signature does not fit its server-streaming method.
// expect: rill: this cannot handle a server-streaming method
#include "echo.grpc.pb.h"

#include <rill/server/method_table.hpp>

using namespace rill::test::v1;

#if defined(FIXED)
rill::async_generator<Note> handler(Note request) { co_yield request; }
#else
rill::task<Note> handler(Note request) { co_return request; }
#endif

void set_up(rill::method_table& methods) { methods.handle<&Echo::Service::Expand>(handler); }
