// metadata: the key-value pairs that travel before and after a call's messages.
#pragma once

#include "rill/coro/errors.hpp"

#include <cstddef>
#include <exception>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rill {

/// Thrown for a metadata key or value that cannot be sent.
class metadata_error : public std::exception {
 public:
  explicit metadata_error(std::string what) noexcept : what_{std::move(what)} {}
  [[nodiscard]] const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

/// An ordered multimap of lower-case keys. A key that ends in "-bin" has a binary value, which is raw bytes here; any
/// other value is printable ASCII.
class metadata {
 public:
  using value_type = std::pair<std::string, std::string>;
  using const_iterator = std::vector<value_type>::const_iterator;

  metadata() noexcept = default;
  metadata(std::initializer_list<std::pair<std::string_view, std::string_view>> entries) {
    for (const auto& [key, value] : entries) add(key, value);
  }

  /// Appends an entry; the key may be given in any case, and may be there already.
  /// *Throws*: `metadata_error` if the key or the value cannot be sent.
  void add(std::string_view key, std::string_view value) {
    std::string lower{key};
    for (char& c : lower) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    check(lower, value);
    entries_.emplace_back(std::move(lower), std::string{value});
  }
  /// Replaces every entry of `key` by one.
  void set(std::string_view key, std::string_view value) {
    metadata one;
    one.add(key, value);
    erase(one.entries_.front().first);
    entries_.push_back(std::move(one.entries_.front()));
  }
  /// Removes every entry of `key`, which is in lower case.
  std::size_t erase(std::string_view key) {
    std::size_t erased = 0;
    for (auto at = entries_.begin(); at != entries_.end();) {
      if (at->first == key) {
        at = entries_.erase(at);
        ++erased;
      } else {
        ++at;
      }
    }
    return erased;
  }
  /// Appends what the peer sent, unchecked.
  void append_received(std::string_view key, std::string_view value) {
    entries_.emplace_back(std::string{key}, std::string{value});
  }

  /// The first value of `key`, which is in lower case. *Lifetime*: until the metadata changes.
  [[nodiscard]] std::optional<std::string_view> get(std::string_view key) const noexcept {
    for (const auto& [name, value] : entries_) {
      if (name == key) return std::string_view{value};
    }
    return std::nullopt;
  }
  /// Every value of `key`, in order. *Lifetime*: until the metadata changes.
  [[nodiscard]] std::vector<std::string_view> get_all(std::string_view key) const {
    std::vector<std::string_view> values;
    for (const auto& [name, value] : entries_) {
      if (name == key) values.push_back(value);
    }
    return values;
  }
  [[nodiscard]] bool contains(std::string_view key) const noexcept { return get(key).has_value(); }

  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] const_iterator begin() const noexcept { return entries_.begin(); }
  [[nodiscard]] const_iterator end() const noexcept { return entries_.end(); }
  void clear() noexcept { entries_.clear(); }

  friend bool operator==(const metadata&, const metadata&) = default;

  /// Whether `key`, in lower case, has binary values.
  [[nodiscard]] static bool is_binary(std::string_view key) noexcept {
    return key.size() > 4 && key.ends_with("-bin");
  }

 private:
  static void check(const std::string& key, std::string_view value) {
    if (key.empty()) throw metadata_error{"rill: a metadata key is empty"};
    for (const char c : key) {
      const bool allowed =
          (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
      if (!allowed) {
        throw metadata_error{"rill: the metadata key \"" + key +
                             "\" may only have letters, digits, '-', '_' and '.'"};
      }
    }
    if (key.starts_with("grpc-"))
      throw metadata_error{"rill: the metadata key \"" + key + "\" is reserved for gRPC"};
    if (is_binary(key)) return;
    for (const char c : value) {
      if (c < 0x20 || c > 0x7e) {
        throw metadata_error{"rill: the value of metadata \"" + key +
                             "\" is not printable ASCII; end the key in \"-bin\" to send bytes"};
      }
    }
  }

  std::vector<value_type> entries_;
};

}  // namespace rill
