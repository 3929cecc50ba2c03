// Events for all are made here, each serialised once.
#include "room.hpp"

#include <rill/coro/uncancellable.hpp>
#include <rill/engine/cq/blocking.hpp>

#include <chrono>
#include <utility>

namespace chat {

namespace {

std::int64_t unix_seconds() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(since_epoch).count();
}

}  // namespace

rill::task<seat> room::enter(std::string member) {
  // Nobody speaks between reading the past and sitting down.
  const rill::async_mutex::guard order = co_await order_.lock();
  std::vector<v1::Said> past =
      co_await rill::run_blocking([&] { return history_.recent(name_, options_.history); });
  co_return seat{shared_from_this(), std::move(member), std::move(past)};
}

rill::task<> room::say(std::string member, std::string text) {
  v1::RoomEvent event;
  v1::Said& said = *event.mutable_said();
  said.set_unix_seconds(unix_seconds());
  said.set_member(std::move(member));
  said.set_text(std::move(text));
  const rill::async_mutex::guard order = co_await order_.lock();
  // What is kept must also be told, even if the speaker leaves this very moment.
  co_await rill::uncancellable(rill::run_blocking([&] { history_.append(name_, said); }));
  tell(event);
}

std::vector<std::string> room::present() const {
  const std::lock_guard held{mutex_};
  std::vector<std::string> names;
  for (const auto& [member, count] : seats_) names.push_back(member);
  return names;
}

rill::broadcast<wire_event>::subscription room::sit_down(const std::string& member, v1::Welcome& welcome) {
  const std::lock_guard held{mutex_};
  if (++seats_[member] == 1) {
    v1::RoomEvent event;
    event.mutable_joined()->set_member(member);
    tell(event);
  }
  for (const auto& [name, count] : seats_) welcome.add_present(name);
  return hub_.subscribe(
      {.capacity = options_.queue,
       .overflow = options_.drop_oldest ? rill::overflow::drop_oldest : rill::overflow::disconnect});
}

void room::stand_up(const std::string& member) {
  const std::lock_guard held{mutex_};
  const auto at = seats_.find(member);
  if (--at->second != 0) return;
  seats_.erase(at);
  v1::RoomEvent event;
  event.mutable_left()->set_member(member);
  tell(event);
}

void room::tell(const v1::RoomEvent& event) {
  // Never has to wait: no subscriber's policy is to hold the others up.
  hub_.try_publish(wire_event{event});
}

seat::seat(std::shared_ptr<room> in, std::string member, std::vector<v1::Said> past)
    : room_{std::move(in)},
      member_{std::move(member)},
      events_{room_->sit_down(member_, *welcome_.mutable_welcome())} {
  v1::Welcome& welcome = *welcome_.mutable_welcome();
  welcome.set_room(room_->name_);
  welcome.set_you(member_);
  for (v1::Said& said : past) *welcome.add_past() = std::move(said);
}

seat::~seat() {
  if (room_ != nullptr) room_->stand_up(member_);
}

}  // namespace chat
