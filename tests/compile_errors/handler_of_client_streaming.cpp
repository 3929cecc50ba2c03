// needs: rill
// A handler whose signature does not fit its client-streaming method.
// expect: rill: this cannot handle a client-streaming method
#include "echo.grpc.pb.h"

#include <rill/server/method_table.hpp>

using namespace rill::test::v1;

#if defined(FIXED)
rill::task<Summary> handler(rill::reader<Note>&) { co_return Summary{}; }
#else
rill::task<Summary> handler(rill::reader<Summary>&) { co_return Summary{}; }
#endif

void set_up(rill::method_table& methods) { methods.handle<&Echo::Service::Collect>(handler); }
