// How a call ends: status (gRPC's own type), status_error and result<T>.
// The only header outside the engine that includes one of gRPC's; generated code includes it as well.
#pragma once

#include "rill/coro/errors.hpp"
#include "rill/rpc/metadata.hpp"

#include <grpcpp/support/status.h>

#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace rill {

using status = grpc::Status;
using status_code = grpc::StatusCode;

/// A code's name as the specification spells it, such as "NOT_FOUND".
[[nodiscard]] inline const char* to_string(status_code code) noexcept {
  static constexpr const char* names[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  const auto index = static_cast<unsigned>(code);
  return index < sizeof(names) / sizeof(names[0]) ? names[index] : "UNKNOWN";
}

/// A status other than OK, thrown: by clients for a call that failed, by handlers to fail a call.
class status_error : public std::exception {
 public:
  explicit status_error(rill::status failed, metadata trailing = {})
      : status_{std::move(failed)}, trailing_{std::move(trailing)} {
    what_ = to_string(status_.error_code());
    if (!status_.error_message().empty()) what_.append(": ").append(status_.error_message());
  }
  /// `details` is the binary `grpc-status-details-bin`, a serialised google.rpc.Status.
  status_error(status_code code, const std::string& message, const std::string& details = {})
      : status_error(rill::status(code, message, details)) {}

  [[nodiscard]] const rill::status& status() const noexcept { return status_; }
  [[nodiscard]] status_code code() const noexcept { return status_.error_code(); }
  [[nodiscard]] std::string message() const { return status_.error_message(); }
  [[nodiscard]] const metadata& trailing_metadata() const noexcept { return trailing_; }
  /// The code's name and the message.
  [[nodiscard]] const char* what() const noexcept override { return what_.c_str(); }

 private:
  rill::status status_;
  metadata trailing_;
  std::string what_;
};

/// A value, or the status that stands in its place.
template <class T>
class [[nodiscard]] result {
 public:
  using value_type = T;

  result(T value) : value_{std::move(value)} {}
  /// *Throws*: `usage_error` if `failed` is OK: then there must be a value.
  result(rill::status failed) : status_{std::move(failed)} {
    if (status_.ok()) throw usage_error{"rill: a result without a value needs a status other than OK"};
  }

  [[nodiscard]] bool ok() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  [[nodiscard]] const rill::status& status() const noexcept { return status_; }
  [[nodiscard]] status_code code() const noexcept { return status_.error_code(); }
  [[nodiscard]] std::string message() const { return status_.error_message(); }
  /// *Throws*: `status_error` if there is no value.
  [[nodiscard]] T& value() & {
    check();
    return *value_;
  }
  [[nodiscard]] const T& value() const& {
    check();
    return *value_;
  }
  [[nodiscard]] T value() && {
    check();
    return std::move(*value_);
  }
  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T operator*() && { return std::move(*this).value(); }
  [[nodiscard]] T* operator->() { return &value(); }
  [[nodiscard]] const T* operator->() const { return &value(); }

 private:
  void check() const {
    if (!value_) throw status_error{status_};
  }

  std::optional<T> value_;
  rill::status status_;
};

/// A status alone; converts from and to `rill::status`.
template <>
class [[nodiscard]] result<void> {
 public:
  using value_type = void;

  result() = default;
  result(rill::status ended) : status_{std::move(ended)} {}

  [[nodiscard]] bool ok() const noexcept { return status_.ok(); }
  explicit operator bool() const noexcept { return ok(); }
  [[nodiscard]] const rill::status& status() const noexcept { return status_; }
  [[nodiscard]] status_code code() const noexcept { return status_.error_code(); }
  [[nodiscard]] std::string message() const { return status_.error_message(); }
  /// *Throws*: `status_error` if the status is not OK.
  void value() const {
    if (!status_.ok()) throw status_error{status_};
  }

 private:
  rill::status status_;
};

}  // namespace rill
