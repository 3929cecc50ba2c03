// needs: rill
// A unary call in a select, which takes only what loses nothing when it is not taken.
// expect: rill: select takes only operations that lose nothing when they are not taken
#include "echo.grpc.pb.h"

#include <rill/client/method_caller.hpp>
#include <rill/coro/select.hpp>

using namespace rill::test::v1;

rill::task<> ask(rill::method_caller client) {
#if defined(FIXED)
  auto notes = client.call<&Echo::Service::Expand>(Note{});
  static_cast<void>(co_await rill::select(notes.read()));
#else
  static_cast<void>(co_await rill::select(client.call<&Echo::Service::Say>(Note{})));
#endif
}
