// A unary call in the steady state makes no heap allocation of rill's own.
// Not under sanitizers, which have memory of their own.
#include <rill/coro/detail/config.hpp>

#if !defined(RILL_ASAN) && !defined(RILL_TSAN)

#include "support.hpp"

#include <doctest/doctest.h>

#include <dlfcn.h>
#include <execinfo.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

using namespace cq_test;

namespace {

std::atomic<bool> counting{false};
std::atomic<int> own_allocations{0};
std::atomic<int> all_allocations{0};

/// Whether the code that wants memory is this program's, directly or through the standard library.
bool asked_by_this_program() {
  static thread_local bool inside = false;
  if (inside) return false;  // finding out may need memory itself
  inside = true;
  void* frames[12];
  const int depth = ::backtrace(frames, 12);
  ::Dl_info self{};
  ::dladdr(reinterpret_cast<void*>(&asked_by_this_program), &self);
  bool own = false;
  for (int i = 3; i < depth; ++i) {  // this function, count, operator new
    ::Dl_info at{};
    if (::dladdr(frames[i], &at) == 0) break;
    if (std::strstr(at.dli_fname, "libstdc++") != nullptr) continue;
    own = std::strcmp(at.dli_fname, self.dli_fname) == 0;
    break;
  }
  inside = false;
  return own;
}

[[gnu::noinline]] void* count(std::size_t size) {
  if (counting.load(std::memory_order_relaxed)) {
    all_allocations.fetch_add(1, std::memory_order_relaxed);
    if (asked_by_this_program()) own_allocations.fetch_add(1, std::memory_order_relaxed);
  }
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc{};
}

rill::task<> calls(rill::client& client, int number) {
  Note note;
  note.set_number(1);
  for (int i = 0; i < number; ++i) {
    const Note reply = co_await client.call<&echo::Say>(note);
    CHECK(reply.number() == 1);
  }
}

rill::task<> warm_then_count(rill::client& client, int number) {
  co_await calls(client, 200);
  own_allocations = 0;
  all_allocations = 0;
  counting = true;
  co_await calls(client, number);
  counting = false;
}

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) { return count(size); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

TEST_CASE("allocation: a unary call allocates nothing of rill's, on either side") {
  void* warm[1];
  ::backtrace(warm, 1);  // loads what it needs
  rill::server server{{.loops = 1}};
  server.listen("127.0.0.1:0");
  server.handle<&echo::Say>(say_back);
  server.start();
  rill::runtime runtime{1};
  rill::client client{target_of(server)};
  constexpr int number = 500;
  run_on(runtime.next(), warm_then_count(client, number));
  // gRPC's header allocates the object with which it requests the next call, in this program.
  const int requests = number + 2;
  CHECK(own_allocations.load() <= requests);
  CHECK(all_allocations.load() > 0);
}

#endif
