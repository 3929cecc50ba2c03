// Plain termios and the few ANSI sequences that every terminal knows.
#include "terminal.hpp"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>

namespace chat {

namespace {

constexpr std::string_view prompt = "> ";

termios before{};  // for the signal handler, which can reach nothing else

/// A terminal must not stay raw when the process is told to end.
void restore_and_die(int signal) {
  ::tcsetattr(STDIN_FILENO, TCSANOW, &before);
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

std::size_t columns() {
  winsize size{};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 10;
  return known ? size.ws_col : 80;
}

}  // namespace

terminal::terminal()
    : interactive_{::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1},
      colours_{::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr} {
  if (!interactive_) return;
  std::setlocale(LC_CTYPE, "");  // so that wcwidth knows wide characters
  ::tcgetattr(STDIN_FILENO, &before);
  termios raw = before;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG | IEXTEN);
  raw.c_iflag &= ~static_cast<tcflag_t>(ICRNL | IXON);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  ::signal(SIGTERM, &restore_and_die);
  ::signal(SIGHUP, &restore_and_die);
  const std::lock_guard held{mutex_};
  draw_prompt();
}

terminal::~terminal() {
  if (!interactive_) return;
  const std::lock_guard held{mutex_};
  clear_prompt();
  std::fflush(stdout);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &before);
  ::signal(SIGTERM, SIG_DFL);
  ::signal(SIGHUP, SIG_DFL);
}

void terminal::show(std::string_view text) {
  const std::lock_guard held{mutex_};
  if (interactive_) clear_prompt();
  std::printf("%.*s\n", static_cast<int>(text.size()), text.data());
  if (interactive_) draw_prompt();
  std::fflush(stdout);
}

terminal::typed terminal::type(std::string_view bytes) {
  const std::lock_guard held{mutex_};
  typed result;
  for (const char byte : bytes) {
    if (auto line = editor_.feed(byte)) result.lines.push_back(*std::move(line));
  }
  result.ended = editor_.ended();
  clear_prompt();
  draw_prompt();
  return result;
}

void terminal::draw_prompt() {
  const line_editor::view seen = editor_.visible(columns() - prompt.size() - 1);
  std::printf("%s%s", prompt.data(), seen.text.c_str());
  if (seen.after != 0) std::printf("\x1b[%zuD", seen.after);
  std::fflush(stdout);
}

void terminal::clear_prompt() { std::fputs("\r\x1b[K", stdout); }

}  // namespace chat
