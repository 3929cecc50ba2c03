// What the load generators share: flags, a latency histogram, what /proc tells about the measured process, and the
// one line of JSON that a run ends with.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace bench {

using clock = std::chrono::steady_clock;

/// `--name value` pairs with a default for each name that is asked for; a name nobody asked for is an error.
class flag_map {
 public:
  flag_map(int argc, char** argv, int first) {
    for (int i = first; i < argc; i += 2) {
      const std::string name = argv[i];
      if (name.rfind("--", 0) != 0 || i + 1 == argc)
        throw std::invalid_argument("expected --name value at " + name);
      values_[name.substr(2)] = argv[i + 1];
    }
  }

  std::string text(const std::string& name, const std::string& otherwise) {
    const auto found = values_.find(name);
    if (found == values_.end()) return otherwise;
    std::string value = found->second;
    values_.erase(found);
    return value;
  }

  long long number(const std::string& name, long long otherwise) {
    return std::stoll(text(name, std::to_string(otherwise)));
  }

  double real(const std::string& name, double otherwise) {
    return std::stod(text(name, std::to_string(otherwise)));
  }

  void expect_empty() const {
    if (!values_.empty()) throw std::invalid_argument("unknown flag --" + values_.begin()->first);
  }

 private:
  std::map<std::string, std::string> values_;
};

/// Durations from 1 ns to hours in buckets 1/64 of an octave wide: a percentile is at most 1.6 % too high.
class histogram {
 public:
  void record(clock::duration sample) {
    const auto ns =
        static_cast<std::uint64_t>(std::max<std::int64_t>(1, std::chrono::nanoseconds(sample).count()));
    ++buckets_[index(ns)];
    ++count_;
    if (ns > max_) max_ = ns;
  }

  std::uint64_t count() const { return count_; }
  double max_us() const { return static_cast<double>(max_) / 1e3; }
  void clear() { *this = {}; }

  double percentile_us(double percent) const {
    const auto wanted = static_cast<std::uint64_t>(static_cast<double>(count_) * percent / 100.0);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > wanted) return std::min(static_cast<double>(upper(i)), static_cast<double>(max_)) / 1e3;
    }
    return max_us();
  }

 private:
  static constexpr unsigned sub_bits = 6;

  static std::size_t index(std::uint64_t ns) {
    const auto octave = static_cast<unsigned>(std::bit_width(ns));
    if (octave <= sub_bits) return ns;
    const unsigned shift = octave - sub_bits - 1;
    return (static_cast<std::size_t>(shift) << sub_bits) + (ns >> shift);
  }

  static std::uint64_t upper(std::size_t index) {
    if (index < (2u << sub_bits)) return index;
    const std::size_t shift = (index >> sub_bits) - 1;
    return ((index - (shift << sub_bits)) + 1) << shift;
  }

  std::array<std::uint64_t, 48u << sub_bits> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

/// CPU microseconds that a process has used in all its threads, from /proc/PID/stat; 0 without a process.
inline double process_cpu_us(long pid) {
  if (pid <= 0) return 0;
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) * 1e6 / static_cast<double>(sysconf(_SC_CLK_TCK));
}

inline double own_cpu_us() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

/// A memory figure of a process in KiB, such as VmRSS or VmHWM, from /proc/PID/status; 0 without a process.
inline long process_memory_kib(long pid, std::string_view field) {
  if (pid <= 0) return 0;
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(std::string(field) + ":", 0) == 0) return std::stol(line.substr(field.size() + 1));
  }
  return 0;
}

/// What is compared at the two ends of a measured window.
struct sample {
  clock::time_point at;
  std::uint64_t messages;
  double server_us;
  double own_us;

  static sample take(long pid, std::uint64_t messages) {
    return {clock::now(), messages, process_cpu_us(pid), own_cpu_us()};
  }
};

/// One line of JSON, field by field.
class json_line {
 public:
  json_line& text(std::string_view name, std::string_view value) {
    return raw(name, '"' + std::string(value) + '"');
  }

  json_line& number(std::string_view name, double value) {
    char formatted[40];
    std::snprintf(formatted, sizeof formatted, "%.6g", value);
    return raw(name, formatted);
  }

  json_line& count(std::string_view name, std::uint64_t value) { return raw(name, std::to_string(value)); }

  /// Rate, CPU of both sides and how busy the load was, over the window between two samples.
  json_line& window(const sample& from, const sample& to) {
    const double seconds = std::chrono::duration<double>(to.at - from.at).count();
    const auto messages = to.messages - from.messages;
    number("seconds", seconds);
    count("messages", messages);
    number("rate", static_cast<double>(messages) / seconds);
    if (messages > 0) {
      number("server_us", (to.server_us - from.server_us) / static_cast<double>(messages));
      number("load_us", (to.own_us - from.own_us) / static_cast<double>(messages));
    }
    number("server_busy", (to.server_us - from.server_us) / 1e6 / seconds);
    return number("load_busy", (to.own_us - from.own_us) / 1e6 / seconds);
  }

  json_line& latency(const histogram& times) {
    number("p50_us", times.percentile_us(50));
    number("p90_us", times.percentile_us(90));
    number("p99_us", times.percentile_us(99));
    number("p999_us", times.percentile_us(99.9));
    return number("max_us", times.max_us());
  }

  void print() const {
    std::printf("{%s}\n", line_.c_str());
    std::fflush(stdout);
  }

 private:
  json_line& raw(std::string_view name, std::string_view value) {
    if (!line_.empty()) line_ += ", ";
    line_ += '"';
    line_ += name;
    line_ += "\": ";
    line_ += value;
    return *this;
  }

  std::string line_;
};

}  // namespace bench
