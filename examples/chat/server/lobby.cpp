// Rooms come into being when somebody enters.
#include "lobby.hpp"

namespace chat {

std::shared_ptr<room> lobby::find(const std::string& name) {
  const std::lock_guard held{mutex_};
  if (const auto at = rooms_.find(name); at != rooms_.end()) {
    if (std::shared_ptr<room> there = at->second.lock()) return there;
  }
  // A good moment to forget the empty ones, so that names alone never fill the memory.
  std::erase_if(rooms_, [](const auto& entry) { return entry.second.expired(); });
  auto opened = std::make_shared<room>(name, history_, options_);
  rooms_[name] = opened;
  return opened;
}

}  // namespace chat
