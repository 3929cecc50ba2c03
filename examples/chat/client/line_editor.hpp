// Edits a line from the bytes that a terminal in raw mode sends. Knows nothing of the screen.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace chat {

class line_editor {
 public:
  /// Takes one byte. Gives the line when it was Enter.
  std::optional<std::string> feed(char byte);
  /// Whether the user asked to end: Ctrl-C, or Ctrl-D on an empty line.
  [[nodiscard]] bool ended() const noexcept { return ended_; }

  struct view {
    std::string text;       ///< The part of the line that is to be seen.
    std::size_t after = 0;  ///< How many columns of it are behind the cursor.
  };
  /// The line around the cursor, in at most `columns` columns.
  [[nodiscard]] view visible(std::size_t columns) const;

 private:
  [[nodiscard]] std::size_t before(std::size_t at) const;
  [[nodiscard]] std::size_t behind(std::size_t at) const;
  std::optional<std::string> enter();
  void control(char byte);
  void escape(char byte);
  void erase_word();
  void recall(std::size_t entry);

  std::string line_;
  std::size_t cursor_ = 0;            // a position in bytes, always between characters
  std::vector<std::string> entered_;  // lines before this one
  std::size_t recalled_ = 0;          // which of them is shown; entered_.size(): none
  std::string escape_;                // an escape sequence that is not complete yet
  bool ended_ = false;
};

}  // namespace chat
