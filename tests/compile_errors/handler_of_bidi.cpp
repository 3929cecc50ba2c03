// needs: rill
// A handler whose signature does not fit its bidi method.
// expect: rill: this cannot handle a bidirectional method
#include "echo.grpc.pb.h"

#include <rill/server/method_table.hpp>

using namespace rill::test::v1;

#if defined(FIXED)
rill::task<> handler(rill::reader<Note>&, rill::writer<Note>&) { co_return; }
#else
rill::task<> handler(rill::writer<Note>&, rill::reader<Note>&) { co_return; }
#endif

void set_up(rill::method_table& methods) { methods.handle<&Echo::Service::Chat>(handler); }
