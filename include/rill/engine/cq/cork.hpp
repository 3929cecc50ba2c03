// Corking: what a saturated loop sends on one connection within a turn leaves together, in few large segments.
// Sockets are learnt from gRPC by an interface that it does not install, so only versions that were tested have it.
#pragma once

#include "rill/coro/detail/spin_lock.hpp"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <grpc/support/sync.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/version_info.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#if defined(__linux__) && GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR == 51
#define RILL_CORKING 1
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#else
#define RILL_CORKING 0
#endif

namespace rill::cq {

inline constexpr bool can_cork = RILL_CORKING != 0;

/// No socket, or one that is not to be corked.
inline constexpr int no_socket = -1;

#if RILL_CORKING

/// Errors mean nothing here: the connection may be gone.
inline void set_cork(int socket, bool on) noexcept {
  const int value = on ? 1 : 0;
  static_cast<void>(::setsockopt(socket, IPPROTO_TCP, TCP_CORK, &value, sizeof value));
}

/// Which socket each TCP peer of a server is on. gRPC tells it every connection before one can carry a call.
/// *Concurrency*: any thread. *Lifetime*: counted; gRPC keeps it as long as it may use it.
class peer_sockets {
 public:
  struct release {
    void operator()(peer_sockets* table) const noexcept { unref(table); }
  };
  using pointer = std::unique_ptr<peer_sockets, release>;

  [[nodiscard]] static pointer make() { return pointer{new peer_sockets}; }

  /// To be told of the connections of the server that is built with it.
  [[nodiscard]] std::unique_ptr<grpc::ServerBuilderOption> option() {
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
    return std::make_unique<tell>(*this);
  }

  /// The socket of a call's connection. It is that connection's as long as the call has not been freed.
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
    const auto at = sockets_.find(peer);
    return at != sockets_.end() ? at->second : no_socket;
  }
  /// A connection was accepted.
  void add(int socket) noexcept {
    std::string peer = peer_of(socket);
    rill::detail::guard held{lock_};
    const auto index = static_cast<std::size_t>(socket);
    if (index >= peers_.size()) peers_.resize(index + 1);
    // The connection that had this number has ended.
    if (const auto old = sockets_.find(peers_[index]);
        old != sockets_.end() && (old->second == socket || old->second == no_socket)) {
      sockets_.erase(old);
    }
    peers_[index] = peer;
    if (peer.empty()) return;
    const auto [at, is_new] = sockets_.try_emplace(std::move(peer), socket);
    if (is_new) return;
    // One port of a client may be connected to two ports of the server: then its calls do not tell which.
    const bool ambiguous = at->second == no_socket || peer_of(at->second) == at->first;
    at->second = ambiguous ? no_socket : socket;
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

  struct hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };

  peer_sockets() noexcept {
    // False would lose the connection.
    static constexpr functions told{
        [](int, seen*) { return true; },
        [](seen* left, seen* right) { return left < right   ? -1
                                             : left > right ? 1
                                                            : 0; },
        [](seen* self) { delete self->owner; },
        [](const fd_info* info, seen* self) {
          if (info->usage == accepted_connection) self->owner->add(info->fd);
          return true;
        },
    };
    seen_.table = &told;
    seen_.owner = this;
    gpr_ref_init(&seen_.count, 1);
  }
  static void unref(peer_sockets* table) noexcept {
    if (gpr_unref(&table->seen_.count) != 0) delete table;
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
  std::unordered_map<std::string, int, hash, std::equal_to<>> sockets_;
  std::vector<std::string> peers_;  // by socket number
};

#else

inline void set_cork(int, bool) noexcept {}

class peer_sockets {
 public:
  using pointer = std::unique_ptr<peer_sockets>;
  [[nodiscard]] static pointer make() { return nullptr; }
  [[nodiscard]] std::unique_ptr<grpc::ServerBuilderOption> option() { return nullptr; }
  [[nodiscard]] static int find(grpc_call*) noexcept { return no_socket; }
};

#endif

/// The sockets that one loop has corked in its present turn.
class corked_sockets {
 public:
  /// Nothing stays corked for more than `longest` nanoseconds while others run.
  explicit corked_sockets(std::int64_t longest = 0) noexcept : longest_{longest} {}
  corked_sockets(const corked_sockets&) = delete;
  corked_sockets& operator=(const corked_sockets&) = delete;
  ~corked_sockets() { close(); }

  /// From now on what is about to send corks its socket first.
  void open() noexcept { open_ = true; }
  [[nodiscard]] bool is_open() const noexcept { return open_; }
  void cork(int socket, std::int64_t now) noexcept {
    for (unsigned i = 0; i < count_; ++i) {
      if (sockets_[i] == socket) return;
    }
    if (count_ == most) return;
    if (count_ == 0) since_ = now;
    sockets_[count_++] = socket;
    set_cork(socket, true);
  }
  [[nodiscard]] bool any() const noexcept { return count_ != 0; }
  void set_longest(std::int64_t longest) noexcept { longest_ = longest; }
  /// Lets go of what waits once the first of it has waited for the longest time that it may.
  void release_if_late(std::int64_t now) noexcept {
    if (now - since_ >= longest_) release();
  }
  void release() noexcept {
    while (count_ != 0) set_cork(sockets_[--count_], false);
  }
  void close() noexcept {
    open_ = false;
    release();
  }

 private:
  static constexpr unsigned most = 32;

  std::int64_t longest_;
  bool open_ = false;
  unsigned count_ = 0;
  std::int64_t since_ = 0;
  int sockets_[most];
};

}  // namespace rill::cq

#undef RILL_CORKING
