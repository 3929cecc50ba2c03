// What a wait throws when it ends without its result: operation_cancelled and timeout_error;
// and what misuse throws.
// Cancellation is not a std::exception, so that a handler that catches those cannot swallow it.
#pragma once

#include <cstdint>
#include <exception>

namespace rill {

/// Why a task or a call was cancelled.
enum class cancel_reason : std::uint8_t {
  none,       ///< It was not.
  cancelled,  ///< Somebody asked: the peer, a token's source, or a sibling that failed.
  deadline,   ///< Its deadline passed.
  shutdown,   ///< The server or the loop it runs on is stopping.
};

/// Thrown out of a wait whose task was cancelled. Not a `std::exception`.
class operation_cancelled {
 public:
  explicit operation_cancelled(cancel_reason reason = cancel_reason::cancelled) noexcept : reason_{reason} {}
  [[nodiscard]] cancel_reason reason() const noexcept { return reason_; }
  [[nodiscard]] const char* what() const noexcept {
    switch (reason_) {
      case cancel_reason::deadline:
        return "the deadline passed";
      case cancel_reason::shutdown:
        return "cancelled by shutdown";
      default:
        return "cancelled";
    }
  }

 private:
  cancel_reason reason_;
};

/// Thrown when the library is used in a way that cannot work, such as a channel of capacity 0.
class usage_error : public std::exception {
 public:
  /// `message` is a string literal.
  explicit usage_error(const char* message) noexcept : message_{message} {}
  [[nodiscard]] const char* what() const noexcept override { return message_; }

 private:
  const char* message_;
};

/// Thrown by `with_timeout` when its time is up.
class timeout_error : public std::exception {
 public:
  [[nodiscard]] const char* what() const noexcept override { return "timed out"; }
};

}  // namespace rill
