// The main function of every test executable: doctest, and on top of it two ways for a run to fail. A filter
// that selects no test case fails, so that a renamed file cannot pass silently, and so does a test case that
// leaves coroutine frames behind.
#define DOCTEST_CONFIG_IMPLEMENT
#include <rill/coro/detail/frame_pool.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <thread>

namespace {

bool selected_nothing = false;
bool leaked = false;

}  // namespace

/// Waits until no more than `allowed` coroutine frames are alive, since a frame may be freed by another
/// thread just after the test case has seen its result. False if they are still there after five seconds.
bool rill_test_leak_check(long allowed) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (rill::detail::live_frames() > allowed) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

namespace {

class leak_listener : public doctest::IReporter {
 public:
  explicit leak_listener(const doctest::ContextOptions&) {}

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats& stats) override {
    selected_nothing = stats.numTestCasesPassingFilters == 0;
  }
  void test_case_start(const doctest::TestCaseData& test_case) override {
    name_ = test_case.m_name;
    before_ = rill::detail::live_frames();
  }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {
    if (rill_test_leak_check(before_)) return;
    std::fprintf(stderr, "ERROR: test case \"%s\" left %ld coroutine frames alive\n", name_,
                 rill::detail::live_frames() - before_);
    leaked = true;
  }
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}

 private:
  const char* name_ = "";
  long before_ = 0;
};

}  // namespace

DOCTEST_REGISTER_LISTENER("leaks", 1, leak_listener);

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  const int result = context.run();
  if (context.shouldExit()) return result;
  if (selected_nothing) {
    std::fputs("ERROR: no test case was selected\n", stderr);
    return 1;
  }
  return leaked ? 1 : result;
}
