// The screen and the keyboard: lines come in above a prompt that stays where it is.
#pragma once

#include "line_editor.hpp"

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace chat {

/// On a terminal it takes the keyboard over until it is destroyed; anywhere else it only prints.
/// *Concurrency*: any thread.
class terminal {
 public:
  terminal();
  terminal(const terminal&) = delete;
  terminal& operator=(const terminal&) = delete;
  ~terminal();

  /// Whether a person sits there.
  [[nodiscard]] bool interactive() const noexcept { return interactive_; }
  /// Whether what is shown may have colours: on a terminal, unless NO_COLOR is set.
  [[nodiscard]] bool colours() const noexcept { return colours_; }

  /// Prints a line, or several, above the prompt.
  void show(std::string_view text);

  struct typed {
    std::vector<std::string> lines;
    bool ended = false;
  };
  /// Takes bytes from the keyboard; gives the lines that they completed.
  typed type(std::string_view bytes);

 private:
  void draw_prompt();
  void clear_prompt();

  const bool interactive_;
  const bool colours_;
  std::mutex mutex_;
  line_editor editor_;
};

}  // namespace chat
