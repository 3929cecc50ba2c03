// Shows how far an upload is: a bar that moves on a terminal, a line every 5 % anywhere else.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace upload {

class progress {
 public:
  /// `already` of `total` bytes were there before this attempt began.
  progress(std::uint64_t total, std::uint64_t already);

  void at(std::uint64_t done);
  /// Ends the bar's line, so that the next output has one of its own.
  void end();

 private:
  using clock = std::chrono::steady_clock;

  void show(std::uint64_t done, clock::time_point now);
  [[nodiscard]] std::string line(std::uint64_t done, double seconds) const;

  const std::uint64_t total_;
  const std::uint64_t already_;
  const bool terminal_;
  const clock::time_point began_ = clock::now();
  clock::time_point shown_at_{};
  unsigned shown_percent_ = 0;
  bool open_line_ = false;
};

}  // namespace upload
