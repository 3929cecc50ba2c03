// home_lease: a home that somebody lends for one task, and takes back.
#pragma once

#include "rill/coro/scheduler.hpp"

#include <utility>

namespace rill {

/// Holds a home; gives it back when it is destroyed, which may be on any thread.
class [[nodiscard]] home_lease {
 public:
  using function = void (*)(scheduler&) noexcept;

  /// A home that outlives the lease.
  home_lease(scheduler& home) noexcept : home_{&home} {}
  home_lease(scheduler& home, function give_back) noexcept : home_{&home}, give_back_{give_back} {}
  home_lease(home_lease&& other) noexcept
      : home_{std::exchange(other.home_, nullptr)}, give_back_{other.give_back_} {}
  home_lease& operator=(home_lease&&) = delete;
  ~home_lease() {
    if (home_ != nullptr && give_back_ != nullptr) give_back_(*home_);
  }

  [[nodiscard]] scheduler& get() const noexcept { return *home_; }

 private:
  scheduler* home_;
  function give_back_ = nullptr;
};

}  // namespace rill
