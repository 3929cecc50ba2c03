// The seam's behaviour when both sides are relayed: handlers and clients on homes of their own, which are not the loops
// of their calls.
#include "engine/seam_harness.hpp"

#include <rill/coro/sync_wait.hpp>
#include <rill/engine/cq/channel.hpp>
#include <rill/engine/cq/runtime.hpp>
#include <rill/engine/cq/server_engine.hpp>
#include <rill/rpc/relay.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

class seam_fixture {
 public:
  explicit seam_fixture(std::vector<seam::method> methods, const seam::settings& settings = {})
      : engine_{options(settings)} {
    for (seam::method& one : methods) {
      methods_.push_back(std::make_shared<relayed>(std::move(one), handlers_.loop(0)));
      entries_.push_back(methods_.back()->outer);
    }
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
    seam::client client{*connector_, home_};
    rill::detail::run_on(home_, body(client), {});
  }

 private:
  /// A method whose calls are handed to another loop.
  struct relayed : std::enable_shared_from_this<relayed> {
    relayed(seam::method of, rill::scheduler& on)
        : method{std::move(of)}, home{on}, inner{seam::entry_of(method)}, outer{inner} {
      outer.handler = this;
      outer.start = [](rill::server_call& call, void* self) noexcept {
        auto& to = *static_cast<relayed*>(self);
        rill::start_relayed(call, to.home, to.inner.start,
                            std::shared_ptr<void>{to.shared_from_this(), to.inner.handler});
      };
    }

    seam::method method;
    rill::scheduler& home;
    rill::method_entry inner;
    rill::method_entry outer;
  };

  static rill::cq::server_options options(const seam::settings& settings) {
    rill::cq::server_options options;
    options.loops = 1;
    options.stream_window = settings.window;
    options.queue = settings.queue;
    return options;
  }

  rill::detail::run_loop home_;
  rill::runtime handlers_{1};
  std::vector<std::shared_ptr<relayed>> methods_;
  std::vector<rill::method_entry> entries_;
  rill::cq::server_engine engine_;
  std::shared_ptr<rill::connector> connector_;
};

}  // namespace

#include "engine/seam_suite.hpp"
