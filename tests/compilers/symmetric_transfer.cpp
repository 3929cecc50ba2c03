// Symmetric transfer: a chain of 100,000 children that complete at once. Clang, and GCC with optimisation and without
// sanitizers, turn it into tail calls; GCC 12 at -O0 uses the stack for each and overflows it.
#include "mini_task.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using mini::task;

namespace {

task<int> child(int value) { co_return value; }

task<int> parent() {
  int total = 0;
  for (int i = 0; i < 100'000; ++i) total += co_await child(1);
  co_return total;
}

bool overflows_the_stack() {
  const pid_t pid = fork();
  if (pid == 0) {
    rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    const bool good = parent().run() == 100'000;
    _exit(good ? 0 : 1);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status);
}

}  // namespace

int main() {
#if defined(__OPTIMIZE__)
  const bool expected = false;
#else
  const bool expected = mini::gcc_12;
#endif
  return mini::verdict("100,000 ready children overflow the stack", overflows_the_stack(), expected);
}
