// SHA-256 over OpenSSL's EVP interface.
#include "sha256.hpp"

#include <openssl/crypto.h>

#include <stdexcept>

namespace upload {

namespace {

void check(int ok) {
  if (ok != 1) throw std::runtime_error{"OpenSSL cannot compute SHA-256"};
}

}  // namespace

void load_sha256() { check(OPENSSL_init_crypto(OPENSSL_INIT_ADD_ALL_DIGESTS, nullptr)); }

sha256::sha256() : state_{EVP_MD_CTX_new()} {
  check(state_ != nullptr ? 1 : 0);
  check(EVP_DigestInit_ex(state_.get(), EVP_sha256(), nullptr));
}

void sha256::update(std::string_view bytes) {
  check(EVP_DigestUpdate(state_.get(), bytes.data(), bytes.size()));
}

std::string sha256::digest() const {
  // Finishing ends a computation, so it is a copy that is finished.
  const context copy{EVP_MD_CTX_new()};
  check(copy != nullptr ? 1 : 0);
  check(EVP_MD_CTX_copy_ex(copy.get(), state_.get()));
  std::array<unsigned char, size> bytes{};
  check(EVP_DigestFinal_ex(copy.get(), bytes.data(), nullptr));
  return {bytes.begin(), bytes.end()};
}

std::string sha256_of(std::string_view bytes) {
  sha256 state;
  state.update(bytes);
  return state.digest();
}

std::string to_hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex += digits[byte >> 4];
    hex += digits[byte & 15];
  }
  return hex;
}

}  // namespace upload
