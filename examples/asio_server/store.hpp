// The state that both protocols share. No lock: everything that touches it runs on one strand.
#pragma once

#include <rill/rill.hpp>

#include <map>
#include <string>
#include <utility>

struct change {
  std::string key;
  std::string value;
};

class shared_store {
 public:
  /// Null if there is none.
  [[nodiscard]] const std::string* get(const std::string& key) const {
    const auto found = values_.find(key);
    return found != values_.end() ? &found->second : nullptr;
  }
  void set(std::string key, std::string value) {
    values_[key] = value;
    // Nobody is waited for: a watcher that is too slow is disconnected, see `watch`.
    changes_.try_publish(change{std::move(key), std::move(value)});
  }
  [[nodiscard]] const std::map<std::string, std::string>& all() const noexcept { return values_; }
  [[nodiscard]] auto watch() {
    return changes_.subscribe({.capacity = 256, .overflow = rill::overflow::disconnect});
  }

 private:
  std::map<std::string, std::string> values_;
  rill::broadcast<change> changes_;
};
