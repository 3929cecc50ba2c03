// Arrows, Home, End, Delete, Backspace, Ctrl-A E U K W, and the lines before with up and down.
#include "line_editor.hpp"

#include <wchar.h>

#include <algorithm>

namespace chat {

namespace {

constexpr std::size_t most_remembered = 200;

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

/// Columns that the character at `at` takes.
std::size_t width(const std::string& text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) return 1;
  wchar_t wide = first >= 0xf0 ? first & 0x07 : first >= 0xe0 ? first & 0x0f : first & 0x1f;
  for (std::size_t next = at + 1; next < text.size() && continues(text[next]); ++next) {
    wide = static_cast<wchar_t>(wide << 6 | (static_cast<unsigned char>(text[next]) & 0x3f));
  }
  return static_cast<std::size_t>(std::max(::wcwidth(wide), 0));
}

}  // namespace

std::optional<std::string> line_editor::feed(char byte) {
  if (!escape_.empty()) {
    escape(byte);
  } else if (byte == '\r' || byte == '\n') {
    return enter();
  } else if (byte == '\x1b') {
    escape_ = byte;
  } else if (static_cast<unsigned char>(byte) < 0x20 || byte == '\x7f') {
    control(byte);
  } else {
    line_.insert(cursor_++, 1, byte);
  }
  return std::nullopt;
}

line_editor::view line_editor::visible(std::size_t columns) const {
  view seen;
  std::size_t from = cursor_;
  std::size_t used = 0;
  while (from > 0) {
    const std::size_t previous = before(from);
    const std::size_t wide = width(line_, previous);
    if (used + wide > columns) break;
    used += wide;
    from = previous;
  }
  std::size_t to = cursor_;
  while (to < line_.size()) {
    const std::size_t wide = width(line_, to);
    if (used + wide > columns) break;
    used += wide;
    seen.after += wide;
    to = behind(to);
  }
  seen.text = line_.substr(from, to - from);
  return seen;
}

std::size_t line_editor::before(std::size_t at) const {
  while (at > 0 && continues(line_[--at])) {
  }
  return at;
}

std::size_t line_editor::behind(std::size_t at) const {
  if (at < line_.size()) ++at;
  while (at < line_.size() && continues(line_[at])) ++at;
  return at;
}

std::optional<std::string> line_editor::enter() {
  std::string entered = std::move(line_);
  line_.clear();
  cursor_ = 0;
  if (!entered.empty()) entered_.push_back(entered);
  if (entered_.size() > most_remembered) entered_.erase(entered_.begin());
  recalled_ = entered_.size();
  return entered;
}

void line_editor::control(char byte) {
  switch (byte) {
    case '\x01':
      cursor_ = 0;
      break;
    case '\x03':
      ended_ = true;
      break;
    case '\x04':
      ended_ = line_.empty();
      break;
    case '\x05':
      cursor_ = line_.size();
      break;
    case '\x08':
    case '\x7f': {
      const std::size_t from = before(cursor_);
      line_.erase(from, cursor_ - from);
      cursor_ = from;
      break;
    }
    case '\x0b':
      line_.resize(cursor_);
      break;
    case '\x15':
      line_.erase(0, cursor_);
      cursor_ = 0;
      break;
    case '\x17':
      erase_word();
      break;
    default:
      break;
  }
}

void line_editor::escape(char byte) {
  escape_ += byte;
  if (escape_.size() == 2 && (byte == '[' || byte == 'O')) return;
  const bool complete = escape_.size() == 2 || (byte >= '@' && byte <= '~');
  if (!complete) return;
  const std::string sequence = std::move(escape_);
  escape_.clear();
  if (sequence == "\x1b[3~") line_.erase(cursor_, behind(cursor_) - cursor_);
  switch (byte) {
    case 'A':
      if (recalled_ > 0) recall(recalled_ - 1);
      break;
    case 'B':
      if (recalled_ < entered_.size()) recall(recalled_ + 1);
      break;
    case 'C':
      cursor_ = behind(cursor_);
      break;
    case 'D':
      cursor_ = before(cursor_);
      break;
    case 'F':
      cursor_ = line_.size();
      break;
    case 'H':
      cursor_ = 0;
      break;
    default:
      break;
  }
}

void line_editor::erase_word() {
  std::size_t from = cursor_;
  while (from > 0 && line_[from - 1] == ' ') --from;
  while (from > 0 && line_[from - 1] != ' ') --from;
  line_.erase(from, cursor_ - from);
  cursor_ = from;
}

void line_editor::recall(std::size_t entry) {
  recalled_ = entry;
  line_ = entry < entered_.size() ? entered_[entry] : std::string{};
  cursor_ = line_.size();
}

}  // namespace chat
