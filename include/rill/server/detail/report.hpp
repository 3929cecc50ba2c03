// What a server tells its owner and never its clients: exceptions of handlers, and what blocks a loop.
#pragma once

#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

namespace rill {

/// Told about what goes wrong in a handler and clients learn nothing about: the method's path, and what it was: the text
/// of an exception, or for how long it has blocked its loop.
/// *Concurrency*: called on the loops' threads and a watching one, at once from several.
using error_hook = std::function<void(std::string_view path, std::string_view text)>;

namespace detail {

/// On standard error the line says "the handler of /path `verb`: text". `path` is empty for a task that has no name.
inline void report(const error_hook& hook, std::string_view path, const char* verb,
                   std::string_view text) noexcept {
  try {
    if (hook) {
      hook(path, text);
    } else {
      const std::string_view who = path.empty() ? "a task without a name" : "the handler of ";
      std::fprintf(stderr, "rill: %.*s%.*s %s: %.*s\n", static_cast<int>(who.size()), who.data(),
                   static_cast<int>(path.size()), path.data(), verb, static_cast<int>(text.size()),
                   text.data());
    }
  } catch (...) {
    // A hook that fails must not take the call's end with it.
  }
}

inline void report_stall(const error_hook& hook, std::string_view path, std::chrono::nanoseconds time,
                         bool over) {
  const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(time);
  std::string text = over ? "blocked its loop for " : "has been blocking its loop for ";
  text += std::to_string(spent.count()) + (over ? " ms, and goes on" : " ms");
  report(hook, path, "stalls", text);
}

}  // namespace detail

}  // namespace rill
