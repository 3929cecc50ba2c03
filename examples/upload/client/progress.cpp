// The rate is of this attempt alone: what was there before cost nothing.
#include "progress.hpp"

#include "../bytes.hpp"

#include <unistd.h>

#include <cstdio>

namespace upload {

namespace {

constexpr std::chrono::milliseconds redraw_every{100};
constexpr unsigned line_every_percent = 5;
constexpr unsigned bar_width = 30;

unsigned percent(std::uint64_t done, std::uint64_t total) {
  return total == 0 ? 100U
                    : static_cast<unsigned>(static_cast<double>(done) / static_cast<double>(total) * 100);
}

std::string duration(double seconds) {
  const auto whole = static_cast<unsigned long long>(seconds + 0.5);
  char text[48];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%llu s", whole);
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%llu min %02llu s", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%llu h %02llu min", whole / 3600, whole / 60 % 60);
  }
  return text;
}

}  // namespace

progress::progress(std::uint64_t total, std::uint64_t already)
    : total_{total},
      already_{already},
      terminal_{::isatty(STDOUT_FILENO) == 1},
      shown_percent_{percent(already, total)} {
  if (terminal_) show(already, began_);
}

void progress::at(std::uint64_t done) {
  const clock::time_point now = clock::now();
  const bool due = terminal_
                       ? now - shown_at_ >= redraw_every
                       : percent(done, total_) / line_every_percent > shown_percent_ / line_every_percent;
  if (due || done == total_) show(done, now);
}

void progress::end() {
  if (open_line_) std::fputs("\n", stdout);
  open_line_ = false;
}

void progress::show(std::uint64_t done, clock::time_point now) {
  shown_at_ = now;
  shown_percent_ = percent(done, total_);
  const std::string text = line(done, std::chrono::duration<double>(now - began_).count());
  if (terminal_) {
    std::printf("\r%s\x1b[K", text.c_str());
    open_line_ = true;
  } else {
    std::printf("%s\n", text.c_str());
  }
  std::fflush(stdout);
}

std::string progress::line(std::uint64_t done, double seconds) const {
  const unsigned filled = percent(done, total_) * bar_width / 100;
  char head[32];
  std::snprintf(head, sizeof head, "] %3u%%  ", percent(done, total_));
  std::string text = "[" + std::string(filled, '#') + std::string(bar_width - filled, '.') + head +
                     readable(done) + " of " + readable(total_);
  const double rate = seconds > 0 ? static_cast<double>(done - already_) / seconds : 0;
  if (rate > 0) {
    text += "  " + readable(static_cast<std::uint64_t>(rate)) + "/s";
    if (done < total_) text += "  " + duration(static_cast<double>(total_ - done) / rate) + " left";
  }
  return text;
}

}  // namespace upload
