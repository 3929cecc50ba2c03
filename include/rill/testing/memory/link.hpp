// One in-memory call: both its ends, and what travels between them.
#pragma once

#include "rill/testing/memory/flow.hpp"
#include "rill/testing/memory/network.hpp"

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace rill::testing::memory {

/// What the client's end knows besides messages.
struct client_facts {
  bool over = false;             ///< It ended here: cancelled, past its deadline, or broken.
  std::optional<status> broken;  ///< To be seen by the client's next step.
  bool at_once = false;          ///< Even while the connection is frozen.
  status final;
  metadata initial;
  metadata trailing;
  bool headers_arrived = false;
  std::int64_t headers_due = 0;
};

/// What the server's end knows besides messages.
struct server_facts {
  bool accepted = false;
  bool dead = false;
  bool finished = false;                       ///< The handler has let go of it.
  bool retired = false;                        ///< A step has run since.
  cancel_reason broken = cancel_reason::none;  ///< To be seen by the server's next step.
  bool tripped = false;                        ///< The server is stopping: to be seen as well.
  bool at_once = false;                        ///< Even while the connection is frozen.
  bool headers_staged = false;
  bool headers_released = false;
  metadata initial;
  status ended;
  metadata trailing;
};

/// The shared state of one call. Everything under the network's lock; counted references, from the two ends and from
/// the steps that are under way.
class link : public rill::detail::list_link<> {
 public:
  link(std::shared_ptr<network> on, const call_head& head, const method_entry* entry)
      : net{std::move(on)}, method{entry}, kind{head.kind}, path{head.path} {
    if (head.metadata != nullptr) sent_metadata = *head.metadata;
  }
  virtual ~link() = default;  // the two ends live in the derived class

  std::shared_ptr<network> net;
  const method_entry* method;
  method_kind kind;
  std::string path;
  metadata sent_metadata;
  flow request;
  flow response;
  client_facts client;
  server_facts server;
  end* client_end = nullptr;
  end* server_end = nullptr;
  std::int64_t time_left = rill::detail::never;
  bool connected = false;  ///< The server knows of it.
  bool cut = false;        ///< One side has broken it: nothing travels any more.
  bool counted = false;    ///< Among the engine's calls.

  [[nodiscard]] bool single_request() const noexcept {
    return kind == method_kind::unary || kind == method_kind::server_streaming;
  }
  [[nodiscard]] bool single_response() const noexcept {
    return kind == method_kind::unary || kind == method_kind::client_streaming;
  }
  [[nodiscard]] bool status_known() const noexcept {
    return client.over || response.end_visible(client_end->now());
  }

  void hold() noexcept { ++references_; }
  /// Without the lock: gives one reference back.
  void drop() noexcept {
    const std::shared_ptr<network> keep = net;
    {
      const std::lock_guard held{keep->mutex};
      if (--references_ != 0) return;
      unlink();
    }
    delete this;
  }

  /// Moves along whatever may travel now.
  void move(section& held) {
    if (!connected || cut || net->frozen) return;
    const bool requests = move_requests(held);
    const bool responses = move_responses(held);
    if (requests || responses) {
      held.wake(*client_end);
      held.wake(*server_end);
    }
    settle(held);
  }

  /// The client's end is over, on its own side; the server learns it by the connection.
  void end_client(section& held, status with, cancel_reason tell_server) {
    if (client.over) return;
    client.over = true;
    client.final = std::move(with);
    request.drop_queue();
    response.drop_inbox();
    break_server(held, tell_server, false);
    held.wake(*client_end);
  }
  /// Something other than the client ends the client's side.
  void break_client(section& held, status with, bool at_once) {
    cut = true;
    if (client.over || client.broken || client_end->gone) return;
    client.broken = std::move(with);
    client.at_once = at_once;
    held.wake(*client_end);
  }
  /// Something other than the server breaks the server's side.
  void break_server(section& held, cancel_reason why, bool at_once) {
    cut = true;
    if (server.broken == cancel_reason::none) server.broken = why;
    server.at_once = server.at_once || at_once;
    held.wake(*server_end);
    settle(held);
  }

  /// Takes the call off the engine's count once nothing of the server's side is left to do.
  void settle(section& held) noexcept {
    if (!counted || !server.retired) return;
    if (!response.end_arrived && !cut) return;
    counted = false;
    if (--net->calls == 0) held.became_idle();
  }

 private:
  [[nodiscard]] std::int64_t due(flow& of, const end& receiver) const noexcept {
    return of.stamp(net->delay == 0 ? 0 : receiver.now() + net->delay);
  }
  [[nodiscard]] static status too_large(std::size_t size, std::size_t most) {
    return {status_code::RESOURCE_EXHAUSTED, "Received message larger than max (" + std::to_string(size) +
                                                 " vs. " + std::to_string(most) + ")"};
  }

  bool move_requests(section& held) {
    if (server.finished) {
      request.drop_queue();
      return false;
    }
    bool moved = false;
    while (request.can_move()) {
      payload bytes = request.next();
      moved = true;
      if (single_request() && request.delivered() != 0) continue;  // the server has stopped listening
      if (request.max_receive != 0 && bytes.size() > request.max_receive) {
        break_client(held, too_large(bytes.size(), request.max_receive), false);
        break_server(held, cancel_reason::cancelled, false);
        return true;
      }
      request.deliver(std::move(bytes), due(request, *server_end));
    }
    if (request.can_move_end()) {
      request.end_arrived = moved = true;
      request.end_due = due(request, *server_end);
    }
    return moved;
  }

  bool move_responses(section& held) {
    bool moved = false;
    if (server.headers_released && !client.headers_arrived) {
      client.headers_arrived = moved = true;
      client.initial = server.initial;
      client.headers_due = due(response, *client_end);
    }
    while (response.can_move()) {
      payload bytes = response.next();
      moved = true;
      if (response.max_receive != 0 && bytes.size() > response.max_receive) {
        refuse_response(held, too_large(bytes.size(), response.max_receive));
        return true;
      }
      if (single_response() && response.delivered() != 0) {
        refuse_response(held, {status_code::UNIMPLEMENTED, "more than one response to a call that has one"});
        return true;
      }
      response.deliver(std::move(bytes), due(response, *client_end));
    }
    if (response.can_move_end()) {
      end_response(server.ended, server.trailing);
      moved = true;
    }
    return moved;
  }
  /// Ends the client's side in order, behind what it has already received.
  void refuse_response(section& held, status with) {
    end_response(std::move(with), {});
    break_server(held, cancel_reason::cancelled, false);
  }
  void end_response(status with, metadata trailing) {
    client.final = std::move(with);
    client.trailing = std::move(trailing);
    response.end_arrived = true;
    response.end_due = due(response, *client_end);
  }

  std::size_t references_ = 0;
};

inline void section::wake(end& which) noexcept {
  if (which.posted || which.gone) return;
  which.posted = true;
  ++which.posting;
  ++network_.posting;
  which.call.hold();  // for the step
  which.call.hold();  // for the posting
  woken_.push(which);
}

/// Posts what was woken. A home is left alone by then that has let go of its calls: see `wait_until_posted`.
inline section::~section() {
  scheduler& home = network_.home;
  rill::detail::work_item* idle = nullptr;
  if (idle_) {
    network_.idle.notify_all();
    idle = std::exchange(network_.when_idle, nullptr);
  }
  network_.mutex.unlock();
  while (rill::detail::work_item* one = woken_.pop()) {
    end& woken = *static_cast<end*>(one);
    woken.at().post(woken);
    {
      const std::lock_guard held{network_.mutex};
      --woken.posting;
      if (--network_.posting == 0) network_.idle.notify_all();
    }
    woken.call.drop();
  }
  if (idle != nullptr) home.post(*idle);
}

/// Waits until nobody is inside the `post` of a home that is about to be let go of; `posting` counts those who are.
template <class Count>
void wait_until_posted(network& of, const Count& posting) noexcept {
  std::unique_lock held{of.mutex};
  while (posting != 0) {
    held.unlock();
    std::this_thread::yield();
    held.lock();
  }
}

inline void end::run_step(work_item& item, bool run) noexcept {
  auto& self = static_cast<end&>(item);
  link& call = self.call;
  if (run) {
    self.step();
  } else {
    self.abandon();
  }
  call.drop();
}

inline void end::on_arrival(rill::detail::timer_node& node) noexcept {
  end& self = *static_cast<timer&>(node).owner_end;
  section held{*self.call.net};
  held.wake(self);
}

inline void end::fire_waiters() noexcept {
  for (unsigned which = 0; which != slots; ++which) {
    stream_waiter* waiter = nullptr;
    {
      const std::lock_guard held{call.net->mutex};
      if (waiters[which] == nullptr || !answered(static_cast<slot>(which))) continue;
      waiter = std::exchange(waiters[which], nullptr);
    }
    waiter->fire(*waiter);
  }
}

}  // namespace rill::testing::memory
