// The server's end of a call as its typed operations see it.
#pragma once

#include "rill/coro/errors.hpp"
#include "rill/rpc/byte_stream.hpp"
#include "rill/rpc/read_operation.hpp"
#include "rill/rpc/write_operation.hpp"

namespace rill::detail {

class server_side {
 public:
  explicit server_side(server_call& call) noexcept : call_{call}, home_{&call.home()} { writes.open(call); }
  server_side(const server_side&) = delete;
  server_side& operator=(const server_side&) = delete;

  [[nodiscard]] server_call& call() const noexcept { return call_; }
  [[nodiscard]] byte_stream& stream() const noexcept { return call_; }
  /// Whether a message came that was none; then the call ends with INTERNAL whatever its handler does.
  [[nodiscard]] bool malformed() const noexcept { return malformed_; }

  void bind(const task_context& context) const {
    if (context.home != home_) throw usage_error{"rill: a call is used by tasks of its own home only"};
  }
  void at_end() const noexcept {}
  [[noreturn]] void at_dead() const {
    const cancel_reason why = call_.token().reason();
    throw operation_cancelled{why != cancel_reason::none ? why : cancel_reason::cancelled};
  }
  [[noreturn]] void unparsable() {
    malformed_ = true;
    throw status_error{malformed_status()};
  }
  void write_accepted() const noexcept {}
  [[noreturn]] void write_refused() const { at_dead(); }

  [[nodiscard]] static status malformed_status() {
    return {status_code::INTERNAL, "the request could not be parsed"};
  }

  read_gate reads;
  write_gate writes;
  flush_wait flushes;

 private:
  server_call& call_;
  scheduler* home_;
  bool malformed_ = false;
};

}  // namespace rill::detail
