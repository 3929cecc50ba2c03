// The rooms that have somebody in them.
#pragma once

#include "room.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace chat {

/// *Concurrency*: any thread.
class lobby {
 public:
  lobby(history& kept, room_options options) : history_{kept}, options_{options} {}

  /// The room of that name. A room lives as long as somebody holds it: what must last is in the history.
  [[nodiscard]] std::shared_ptr<room> find(const std::string& name);

 private:
  history& history_;
  const room_options options_;
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<room>> rooms_;
};

}  // namespace chat
