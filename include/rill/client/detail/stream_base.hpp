// What the client's three kinds of stream have in common.
#pragma once

#include "rill/client/detail/client_side.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace rill::detail {

/// A streaming call. It is opened by the first operation that a task awaits, and inherits that task's deadline.
///
/// Moves even while operations wait. Destroying it while the call is alive cancels the call, and never blocks.
/// *Concurrency*: by tasks of one home. *Lifetime*: outlives its operations; destroyed on its home.
class stream_base {
 public:
  explicit stream_base(std::unique_ptr<client_side> side) noexcept : side_{std::move(side)} {}

  /// What the server sent before its messages; a reference that lives as long as the stream.
  /// *Completes* once it is here, or the call has ended without. *Cancellation*: changes nothing.
  headers_operation initial_metadata() { return headers_operation{side()}; }
  /// What the server sent with its status; empty until the call has ended.
  [[nodiscard]] const metadata& trailing_metadata() const { return side().trailing_metadata(); }
  /// How the call ended; empty until every message was read and the status is known.
  [[nodiscard]] std::optional<rill::status> status() const {
    return side().ended() ? std::optional{side().verdict()} : std::nullopt;
  }
  /// Cancels the call: what is waiting ends, with the status CANCELLED.
  void cancel() noexcept { side_->cancel(); }
  /// The server's address; empty until the call is open.
  [[nodiscard]] std::string peer() const { return side().peer(); }

 protected:
  stream_base(stream_base&&) noexcept = default;
  stream_base& operator=(stream_base&&) noexcept = default;
  ~stream_base() = default;

  /// *Throws*: `usage_error` if it was moved from.
  [[nodiscard]] client_side& side() const {
    if (side_ == nullptr) throw usage_error{"rill: this stream was moved from"};
    return *side_;
  }

 private:
  std::unique_ptr<client_side> side_;
};

}  // namespace rill::detail
