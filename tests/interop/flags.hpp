// The command line of the interoperability programs: --name=value, or --name for true.
#pragma once

#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

namespace interop {

class flags {
 public:
  flags(int argc, const char* const* argv) {
    for (int i = 1; i < argc; ++i) {
      std::string_view text{argv[i]};
      if (!text.starts_with("-")) throw std::invalid_argument{"unexpected argument " + std::string{text}};
      text.remove_prefix(text.starts_with("--") ? 2 : 1);
      const std::size_t equals = text.find('=');
      values_[std::string{text.substr(0, equals)}] =
          equals == std::string_view::npos ? "true" : std::string{text.substr(equals + 1)};
    }
  }

  [[nodiscard]] std::string text(const std::string& name, const std::string& otherwise = {}) const {
    const auto found = values_.find(name);
    return found == values_.end() ? otherwise : found->second;
  }
  [[nodiscard]] int number(const std::string& name, int otherwise) const {
    const std::string value = text(name);
    return value.empty() ? otherwise : std::stoi(value);
  }
  [[nodiscard]] bool is_set(const std::string& name) const { return text(name) == "true"; }
  /// What is in the file that the flag names.
  [[nodiscard]] std::string file(const std::string& name) const {
    std::ifstream in{text(name), std::ios::binary};
    if (!in) throw std::invalid_argument{"--" + name + ": cannot read \"" + text(name) + "\""};
    return {std::istreambuf_iterator<char>{in}, {}};
  }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace interop
