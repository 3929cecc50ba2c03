// Numbers of bytes as people read them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace upload {

/// Such as "17 B", "1.5 KiB" or "256.0 MiB".
inline std::string readable(std::uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  static constexpr const char* units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  unsigned unit = 0;
  while (value >= 1024 && unit < 5) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %s", value, units[unit]);
  return text;
}

}  // namespace upload
