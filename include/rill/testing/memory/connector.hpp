// Opens in-memory calls: makes both ends, and decides whether the server ever hears of it.
#pragma once

#include "rill/testing/memory/client_call.hpp"
#include "rill/testing/memory/server_call.hpp"

#include <memory>
#include <utility>

namespace rill::testing {

namespace memory {

/// A call and both its ends, in one piece of memory.
class whole_call final : public link {
 public:
  whole_call(std::shared_ptr<network> on, const call_head& head, const method_entry* entry,
             scheduler& client_home)
      : link{std::move(on), head, entry},
        client_side_{*this, client_home, head.deadline},
        server_side_{*this, net->home} {
    client_end = &client_side_;
    server_end = &server_side_;
    const memory_options& options = net->options;
    const call_limits limits = entry != nullptr ? entry->limits : call_limits{};
    bound(request, head.queue, options);
    bound(response, limits.queue, options);
    request.max_send = head.max_send != 0 ? head.max_send : options.max_send_size;
    request.max_receive = limits.max_receive != 0 ? limits.max_receive : options.max_receive_size;
    response.max_send = options.max_send_size;
    response.max_receive = head.max_receive != 0 ? head.max_receive : options.max_receive_size;
    request.stall(net->server_stalled);
    response.stall(net->client_stalled);
    if (head.deadline != rill::detail::never) time_left = head.deadline - client_home.now();
  }

  [[nodiscard]] client_call& seen_by_client() noexcept { return client_side_; }

 private:
  static void bound(flow& of, const queue_limits& wanted, const memory_options& options) noexcept {
    of.limits.messages = wanted.messages != 0 ? wanted.messages : options.queue.messages;
    of.limits.bytes = wanted.bytes != 0 ? wanted.bytes : options.queue.bytes;
    of.window = options.window;
  }

  client_side client_side_;
  server_side server_side_;
};

/// Opens calls to the server of its network.
class memory_connector final : public connector {
 public:
  explicit memory_connector(std::shared_ptr<network> to) noexcept : network_{std::move(to)} {}

  client_call& open(const call_head& head, scheduler& home) override {
    section held{*network_};
    const auto found = network_->methods.find(head.path);
    const method_entry* entry = found != network_->methods.end() ? found->second : nullptr;
    auto* call = new whole_call{network_, head, entry, home};
    network_->links.push_back(*call);
    call->hold();
    held.wake(*call->client_end);
    if (call->time_left <= 0) {
      refuse(*call, status_code::DEADLINE_EXCEEDED, "Deadline Exceeded");
    } else if (network_->down && head.wait_for_ready && network_->accepting) {
      call->hold();
    } else if (network_->down || !network_->accepting) {
      refuse(*call, status_code::UNAVAILABLE, "the server cannot be reached");
    } else if (entry == nullptr) {
      refuse(*call, status_code::UNIMPLEMENTED, "");
    } else {
      call->hold();
      connect(held, *call);
    }
    return call->seen_by_client();
  }

  /// With the lock held: the server learns of the call.
  static void connect(section& held, link& call) {
    if (call.method == nullptr) {
      call.break_client(held, {status_code::UNIMPLEMENTED, ""}, true);
      call.break_server(held, cancel_reason::cancelled, true);
      return;
    }
    call.connected = call.counted = true;
    ++call.net->calls;
    held.wake(*call.server_end);
  }

 private:
  /// The call ends before a server has seen it.
  static void refuse(link& call, status_code code, const char* why) {
    call.client.over = call.cut = true;
    call.client.final = status{code, why};
    call.server_end->gone = true;
  }

  std::shared_ptr<network> network_;
};

}  // namespace memory
}  // namespace rill::testing
