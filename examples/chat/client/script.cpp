// Runs steps; whatever goes wrong says at which step.
#include "script.hpp"

#include "render.hpp"

#include <rill/coro/errors.hpp>
#include <rill/coro/with_timeout.hpp>

#include <optional>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace chat {

rill::task<std::string> script::next_room() {
  const bool more = co_await next_step();
  if (!more) co_return std::string{};
  if (now_.verb != "join") fail("join a room first");
  reading_.set();
  co_return now_.rest;
}

rill::task<> script::act(stay_stream& room) {
  v1::MemberEvent event;
  while (co_await next_step()) {
    if (now_.verb == "say") {
      event.mutable_say()->set_text(now_.rest);
      co_await room.write(event);
    } else if (now_.verb == "who") {
      event.mutable_who();
      co_await room.write(event);
    } else if (now_.verb == "expect") {
      co_await expect();
      now_ = {};
    } else if (now_.verb == "stop-reading") {
      reading_.reset();
    } else if (now_.verb == "read-on") {
      reading_.set();
    } else if (now_.verb == "leave") {
      break;
    } else if (now_.verb == "expect-end") {
      rill::event never;
      try {
        co_await rill::with_timeout(patience_, never.wait());
      } catch (const rill::timeout_error&) {
        fail("the server did not end the stay");
      }
    } else {
      fail("there is no such step");
    }
  }
  reading_.set();
}

rill::task<> script::listening() { co_await reading_.wait(); }

void script::heard(const v1::RoomEvent& event) {
  screen_.show(render(event, screen_.colours()));
  std::istringstream lines{render(event, false)};
  for (std::string line; std::getline(lines, line);) unmatched_.push_back(line);
  more_.set();
}

rill::task<bool> script::sent_away(rill::status_error why) {
  // The end may come before the script gets to the step that expects it, but not while it waits for something else.
  if (now_.verb == "expect") co_return false;
  bool more = true;
  if (now_.verb != "expect-end") more = co_await next_step();
  if (!more || now_.verb != "expect-end") co_return false;
  if (std::string{why.what()}.find(now_.rest) == std::string::npos) {
    fail(std::string{"the stay ended with \""} + why.what() + "\"");
  }
  screen_.show(std::string{"! "} + why.what());
  co_return true;
}

rill::task<bool> script::next_step() {
  while (std::optional<std::string> line = co_await steps_.receive()) {
    ++line_;
    if (line->empty() || line->front() == '#') continue;
    const std::size_t space = line->find(' ');
    now_.verb = line->substr(0, space);
    now_.rest = space == std::string::npos ? std::string{} : line->substr(space + 1);
    co_return true;
  }
  co_return false;
}

rill::task<> script::expect() {
  try {
    co_await rill::with_timeout(patience_, find_line(now_.rest));
  } catch (const rill::timeout_error&) {
    fail("no such line came");
  }
}

rill::task<> script::find_line(std::string text) {
  while (true) {
    while (!unmatched_.empty()) {
      const std::string line = std::move(unmatched_.front());
      unmatched_.pop_front();
      if (line.find(text) != std::string::npos) co_return;
    }
    more_.reset();
    co_await more_.wait();
  }
}

void script::fail(const std::string& why) const {
  throw std::runtime_error{"script, line " + std::to_string(line_) + ", " + now_.verb + " " + now_.rest +
                           ": " + why};
}

}  // namespace chat
