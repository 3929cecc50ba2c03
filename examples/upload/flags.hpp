// What the command line says: `--name value`, `--name=value`, switches, and plain words.
#pragma once

#include <charconv>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace upload {

/// Thrown for a command line that makes no sense.
struct flag_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Takes flags out one by one; what is left in the end are the plain words.
class flags {
 public:
  flags(int argc, char** argv) : words_(argv + 1, argv + argc) {}

  bool take_switch(std::string_view name) { return std::erase(words_, "--" + std::string{name}) != 0; }

  std::string take(std::string_view name, std::string fallback = {}) {
    const std::string flag = "--" + std::string{name};
    for (auto word = words_.begin(); word != words_.end(); ++word) {
      if (word->starts_with(flag + "=")) {
        std::string value = word->substr(flag.size() + 1);
        words_.erase(word);
        return value;
      }
      if (*word != flag) continue;
      if (word + 1 == words_.end()) throw flag_error{flag + " needs a value"};
      std::string value = *(word + 1);
      words_.erase(word, word + 2);
      return value;
    }
    return fallback;
  }

  /// A number, which K, M or G after it multiplies by 1024 once, twice or three times.
  std::uint64_t take_number(std::string_view name, std::uint64_t fallback) {
    const std::string text = take(name);
    if (text.empty()) return fallback;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const std::string_view suffix{end, static_cast<std::size_t>(text.data() + text.size() - end)};
    const std::size_t power = std::string_view{"KMG"}.find(suffix);
    if (error != std::errc{} || suffix.size() > 1 || power == std::string_view::npos) {
      throw flag_error{"--" + std::string{name} + " needs a number such as 500, 64K or 10G, not \"" + text +
                       "\""};
    }
    const unsigned shift = suffix.empty() ? 0 : static_cast<unsigned>(10 * (power + 1));
    if (value > std::numeric_limits<std::uint64_t>::max() >> shift) {
      throw flag_error{"--" + std::string{name} + " is too large"};
    }
    return value << shift;
  }

  /// The plain words. Flags that nobody took are mistakes.
  std::vector<std::string> rest() const {
    for (const std::string& word : words_) {
      if (word.starts_with("--")) throw flag_error{"unknown flag " + word};
    }
    return words_;
  }

 private:
  std::vector<std::string> words_;
};

}  // namespace upload
