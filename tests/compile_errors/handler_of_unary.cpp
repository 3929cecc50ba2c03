// needs: rill
// A handler whose signature does not fit its unary method.
// expect: rill: this cannot handle a unary method
#include "echo.grpc.pb.h"

#include <rill/server/method_table.hpp>

using namespace rill::test::v1;

#if defined(FIXED)
rill::task<Note> handler(Note request) { co_return request; }
#else
Note handler(Note request) { return request; }
#endif

void set_up(rill::method_table& methods) { methods.handle<&Echo::Service::Say>(handler); }
