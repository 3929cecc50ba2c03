// SHA-256, piece by piece, with OpenSSL.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

namespace upload {

/// Loads OpenSSL. Call it first in `main`: what is loaded first goes last at the end of the process, and the threads of
/// `run_blocking` keep something of OpenSSL's until they end.
void load_sha256();

class sha256 {
 public:
  static constexpr std::size_t size = 32;

  sha256();
  void update(std::string_view bytes);
  /// The digest, as bytes, of all that came so far; more may follow.
  [[nodiscard]] std::string digest() const;

 private:
  struct free_context {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
  };
  using context = std::unique_ptr<EVP_MD_CTX, free_context>;

  context state_;
};

/// The digest of `bytes`.
[[nodiscard]] std::string sha256_of(std::string_view bytes);
/// `bytes` as lower-case hexadecimal digits.
[[nodiscard]] std::string to_hex(std::string_view bytes);

}  // namespace upload
