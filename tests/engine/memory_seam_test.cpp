// The seam's behaviour on the in-memory engine, server and client on one loop with virtual time.
#include "engine/seam_harness.hpp"

#include <rill/testing/memory_engine.hpp>
#include <rill/testing/virtual_time.hpp>

#include <utility>
#include <vector>

namespace {

class seam_fixture {
 public:
  explicit seam_fixture(std::vector<seam::method> methods, const seam::settings& settings = {})
      : methods_{std::move(methods)},
        entries_{seam::entries_of(methods_)},
        engine_{loop_, options(settings)} {
    engine_.start(entries_);
  }

  [[nodiscard]] rill::server_engine& engine() noexcept { return engine_; }

  template <class Body>
  void run(Body body) {
    const auto connector = engine_.in_process();
    seam::client client{*connector, loop_};
    rill::testing::run_on(loop_, body(client));
  }

 private:
  static rill::testing::memory_options options(const seam::settings& settings) {
    rill::testing::memory_options options;
    if (settings.window != 0) options.window = settings.window;
    if (settings.queue.messages != 0) options.queue = settings.queue;
    return options;
  }

  std::vector<seam::method> methods_;
  std::vector<rill::method_entry> entries_;
  rill::testing::virtual_time_loop loop_;
  rill::testing::memory_engine engine_;
};

}  // namespace

#include "engine/seam_suite.hpp"
