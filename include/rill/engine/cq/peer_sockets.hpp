// Which socket the connection of a call is on, so that it can be corked.
// Sockets are learnt from gRPC by an interface that it does not install, so only versions that were tested have it.
#pragma once

#include "rill/coro/detail/spin_lock.hpp"
#include "rill/engine/cq/cork.hpp"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <grpc/support/sync.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/version_info.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(__linux__) && GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR == 51
#define RILL_CORKING 1
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#else
#define RILL_CORKING 0
#endif

namespace rill::cq {

/// Whether servers can cork here.
inline constexpr bool can_cork = RILL_CORKING != 0;

#if RILL_CORKING

/// Which socket each TCP peer of a server is on. gRPC tells it every connection before one can carry a call.
/// *Concurrency*: any thread. *Lifetime*: counted; gRPC keeps it as long as it may use it.
class peer_sockets {
 public:
  struct release {
    void operator()(peer_sockets* table) const noexcept {
      if (gpr_unref(&table->seen_.count) != 0) destroy(&table->seen_);
    }
  };
  using reference = std::unique_ptr<peer_sockets, release>;

  [[nodiscard]] static reference make() { return reference{new peer_sockets}; }

  /// Before the server is built: it tells the table its connections from then on.
  void add_to(grpc::ServerBuilder& builder) {
    class tell final : public grpc::ServerBuilderOption {
     public:
      explicit tell(peer_sockets& table) noexcept : table_{table} {}
      void UpdateArguments(grpc::ChannelArguments* arguments) override {
        gpr_ref(&table_.seen_.count);  // the arguments'
        arguments->SetSocketMutator(reinterpret_cast<grpc_socket_mutator*>(&table_.seen_));
      }
      void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*) override {}

     private:
      peer_sockets& table_;
    };
    builder.SetOption(std::make_unique<tell>(*this));
  }
  /// The socket of a call's connection, or `no_socket`. It is that connection's as long as the call has not been freed.
  [[nodiscard]] int find(grpc_call* call) noexcept {
    char* const peer = grpc_call_get_peer(call);
    if (peer == nullptr) return no_socket;
    const int found = find(std::string_view{peer});
    gpr_free(peer);
    return found;
  }
  /// The socket of a peer as gRPC spells it.
  [[nodiscard]] int find(std::string_view peer) noexcept {
    rill::detail::guard held{lock_};
    int found = no_socket;
    for (int at = first_of(peer); at != no_socket; at = connections_[index(at)].next) {
      if (connections_[index(at)].peer != peer) continue;
      // One port of a client may be connected to two ports of the server: then its calls do not tell which.
      if (found != no_socket) return no_socket;
      found = at;
    }
    return found;
  }
  /// A connection was accepted.
  void add(int socket) noexcept {
    std::string peer = peer_of(socket);
    rill::detail::guard held{lock_};
    if (index(socket) >= connections_.size()) grow(index(socket) + 1);
    remove(socket);  // the connection that had this number has ended
    if (peer.empty()) return;
    for (int at = first_of(peer); at != no_socket;) {
      const int next = connections_[index(at)].next;
      // So has one whose peer has come again, unless it is connected twice.
      if (connections_[index(at)].peer == peer && peer_of(at) != peer) remove(at);
      at = next;
    }
    connections_[index(socket)].peer = std::move(peer);
    link(socket);
  }

 private:
  // gRPC's private layout of a socket mutator.
  struct fd_info {
    int fd;
    int usage;
  };
  struct seen;
  struct functions {
    bool (*mutate)(int fd, seen* self);
    int (*compare)(seen* left, seen* right);
    void (*destroy)(seen* self);
    bool (*mutate_with_usage)(const fd_info* info, seen* self);
  };
  struct seen {
    const functions* table;
    gpr_refcount count;
    peer_sockets* owner;  // from here on rill's
  };
  static constexpr int accepted_connection = 2;

  /// A connection, by its socket's number, and the next one whose peer has the same hash.
  struct connection {
    std::string peer;
    int next = no_socket;
  };

  peer_sockets() noexcept {
    // False would lose the connection.
    static constexpr functions told{
        [](int, seen*) { return true; },
        [](seen* left, seen* right) { return left < right   ? -1
                                             : left > right ? 1
                                                            : 0; },
        &destroy,
        [](const fd_info* info, seen* self) {
          if (info->usage == accepted_connection) self->owner->add(info->fd);
          return true;
        },
    };
    seen_.table = &told;
    seen_.owner = this;
    gpr_ref_init(&seen_.count, 1);
  }
  ~peer_sockets() = default;
  static void destroy(seen* self) { delete self->owner; }

  static std::size_t index(int socket) noexcept { return static_cast<std::size_t>(socket); }
  /// The start of the chain that `peer` is in.
  int& first_of(std::string_view peer) noexcept {
    return firsts_[std::hash<std::string_view>{}(peer) & (firsts_.size() - 1)];
  }
  void link(int socket) noexcept {
    connection& added = connections_[index(socket)];
    int& first = first_of(added.peer);
    added.next = std::exchange(first, socket);
  }
  void remove(int socket) noexcept {
    connection& removed = connections_[index(socket)];
    if (removed.peer.empty()) return;
    int* at = &first_of(removed.peer);
    while (*at != socket) at = &connections_[index(*at)].next;
    *at = removed.next;
    removed.peer.clear();
  }
  void grow(std::size_t size) {
    while (firsts_.size() < size) firsts_.resize(2 * firsts_.size());
    connections_.resize(firsts_.size());
    for (int& first : firsts_) first = no_socket;
    for (std::size_t at = 0; at < connections_.size(); ++at) {
      if (!connections_[at].peer.empty()) link(static_cast<int>(at));
    }
  }

  /// The peer as gRPC spells it; empty if it is none of TCP.
  [[nodiscard]] static std::string peer_of(int socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
    char text[INET6_ADDRSTRLEN];
    if (address.ss_family == AF_INET) {
      const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
      ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
      return std::string{"ipv4:"} + text + ':' + std::to_string(ntohs(v4.sin_port));
    }
    if (address.ss_family != AF_INET6) return {};
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    const std::string port = std::to_string(ntohs(v6.sin6_port));
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
      return std::string{"ipv4:"} + text + ':' + port;
    }
    if (v6.sin6_scope_id != 0) return {};
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return std::string{"ipv6:%5B"} + text + "%5D:" + port;
  }

  seen seen_;
  rill::detail::spin_lock lock_;
  std::vector<connection> connections_;  // by socket number; as many as chains
  std::vector<int> firsts_ = std::vector<int>(64, no_socket);
};

#else

class peer_sockets {
 public:
  using reference = std::unique_ptr<peer_sockets>;
  [[nodiscard]] static reference make() { return nullptr; }
  void add_to(grpc::ServerBuilder&) {}
  [[nodiscard]] int find(grpc_call*) noexcept { return no_socket; }
};

#endif

}  // namespace rill::cq

#undef RILL_CORKING
