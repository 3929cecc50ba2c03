// Who a caller is: bearer tokens and the names behind them.
#pragma once

#include <rill/rpc/metadata.hpp>

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace chat {

/// Knows members by their tokens, of which it keeps digests only.
class token_book {
 public:
  /// Adds every line `name token` of a file; empty lines and lines that begin with # say nothing.
  /// Throws std::runtime_error that names the line, never the token.
  void add_file(const std::string& path);
  /// Throws std::invalid_argument for a name or token that is no good.
  void add(std::string_view name, std::string_view token);
  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }

  /// The name of the caller with this metadata: `authorization: Bearer <token>`.
  /// Throws `rill::status_error` (UNAUTHENTICATED).
  [[nodiscard]] const std::string& identify(const rill::metadata& sent) const;

 private:
  using digest = std::array<unsigned char, 32>;
  struct entry {
    digest token;
    std::string name;
  };

  std::vector<entry> entries_;
};

}  // namespace chat
