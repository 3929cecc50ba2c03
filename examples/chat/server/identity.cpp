// Tokens are compared by their digests, all of them every time, so that the time an answer takes tells nothing.
#include "identity.hpp"

#include <rill/rpc/status.hpp>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace chat {

namespace {

constexpr std::size_t shortest_token = 16;
constexpr std::size_t longest_name = 24;

std::array<unsigned char, 32> sha256(std::string_view bytes) {
  std::array<unsigned char, 32> digest{};
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error{"OpenSSL cannot compute SHA-256"};
  }
  return digest;
}

[[noreturn]] void refuse(const char* why) {
  throw rill::status_error{rill::status_code::UNAUTHENTICATED, why};
}

}  // namespace

void token_book::add_file(const std::string& path) {
  std::ifstream file{path};
  if (!file) throw std::runtime_error{"cannot read " + path};
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream words{line};
    std::string name;
    std::string token;
    std::string more;
    if (!(words >> name) || name.starts_with('#')) continue;
    try {
      if (!(words >> token) || words >> more) throw std::invalid_argument{"expected a name and a token"};
      add(name, token);
    } catch (const std::invalid_argument& error) {
      throw std::runtime_error{path + ", line " + std::to_string(number) + ": " + error.what()};
    }
  }
}

void token_book::add(std::string_view name, std::string_view token) {
  if (name.empty() || name.size() > longest_name)
    throw std::invalid_argument{"a name has 1 to 24 characters"};
  for (const char c : name) {
    const bool allowed =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    if (!allowed) throw std::invalid_argument{"a name consists of letters, digits and -"};
  }
  if (token.size() < shortest_token) throw std::invalid_argument{"a token needs at least 16 characters"};
  const digest hashed = sha256(token);
  for (const entry& other : entries_) {
    if (other.token == hashed) throw std::invalid_argument{"this token belongs to somebody else already"};
  }
  entries_.push_back({hashed, std::string{name}});
}

const std::string& token_book::identify(const rill::metadata& sent) const {
  constexpr std::string_view scheme = "Bearer ";
  const std::vector<std::string_view> headers = sent.get_all("authorization");
  if (headers.empty()) refuse("a bearer token is needed");
  if (headers.size() != 1 || !headers.front().starts_with(scheme)) refuse("expected one bearer token");
  const digest given = sha256(headers.front().substr(scheme.size()));
  const entry* found = nullptr;
  for (const entry& one : entries_) {
    if (CRYPTO_memcmp(one.token.data(), given.data(), given.size()) == 0) found = &one;
  }
  if (found == nullptr) refuse("this token is not known");
  return found->name;
}

}  // namespace chat
