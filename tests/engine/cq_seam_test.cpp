// The seam's behaviour on the engine over completion queues, with clients on an event loop.
#include "engine/seam_harness.hpp"

#include <rill/engine/cq/channel.hpp>
#include <rill/engine/cq/runtime.hpp>
#include <rill/engine/cq/server_engine.hpp>

#include <exception>
#include <future>
#include <memory>
#include <utility>
#include <vector>

namespace {

class seam_fixture {
 public:
  explicit seam_fixture(std::vector<seam::method> methods, const seam::settings& settings = {})
      : methods_{std::move(methods)}, entries_{seam::entries_of(methods_)}, engine_{options(settings)} {
    engine_.listen("127.0.0.1:0");
    engine_.start(entries_);
    rill::cq::channel_options channel;
    channel.stream_window = settings.window;
    channel.queue = settings.queue;
    channel.own_connection = true;
    connector_ =
        rill::cq::channel_connector::to("127.0.0.1:" + std::to_string(engine_.port()), nullptr, channel);
  }

  [[nodiscard]] rill::server_engine& engine() noexcept { return engine_; }

  template <class Body>
  void run(Body body) {
    rill::scheduler& home = rill::runtime::shared().loop(0);
    seam::client client{*connector_, home};
    std::promise<void> done;
    rill::task_context context;
    context.home = &home;
    root(body, client, done).post(context);
    done.get_future().get();
  }

 private:
  template <class Body>
  static rill::detail::root root(Body& body, seam::client& client, std::promise<void>& done) {
    std::exception_ptr failure;
    try {
      co_await body(client);
    } catch (...) {
      failure = std::current_exception();
    }
    if (failure) {
      done.set_exception(failure);
    } else {
      done.set_value();
    }
  }
  static rill::cq::server_options options(const seam::settings& settings) {
    rill::cq::server_options options;
    options.loops = 1;
    options.stream_window = settings.window;
    options.queue = settings.queue;
    return options;
  }

  std::vector<seam::method> methods_;
  std::vector<rill::method_entry> entries_;
  rill::cq::server_engine engine_;
  std::shared_ptr<rill::connector> connector_;
};

}  // namespace

#include "engine/seam_suite.hpp"
