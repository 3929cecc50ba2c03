// broadcast<T>: every item goes to every subscriber, each with a bounded queue of its own and a policy for when it
// is full. Many publishers, any thread.
#pragma once

#include "rill/coro/detail/ring.hpp"
#include "rill/coro/detail/shared_item.hpp"
#include "rill/coro/detail/spin_lock.hpp"
#include "rill/coro/operation.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace rill {

/// What happens when an item comes for a subscriber whose queue is full.
enum class overflow : std::uint8_t {
  suspend,      ///< `publish` waits until it has room; then nobody gets the item before.
  drop_oldest,  ///< It misses the oldest item of its queue.
  drop_newest,  ///< It misses the new item.
  disconnect,   ///< It misses the new item, and its subscription ends after what is queued.
};

struct subscription_options {
  std::size_t capacity = 64;  ///< Items that may wait for this subscriber; at least 1.
  rill::overflow overflow = rill::overflow::suspend;
};

/// A hub that hands every item to all its subscribers, in one order for all of them. An item is stored once, however
/// many queues it is in; a subscriber copies it when it takes it, and the last one moves it.
///
/// *Concurrency*: every member from any thread. *Lifetime*: outlives the tasks that publish; its subscriptions may
/// outlive it, and end once they are drained.
template <class T>
class broadcast {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T> &&
                    std::is_copy_constructible_v<T>,
                "rill: a broadcast's items must copy, and must move and be destroyed without throwing");

  class state;
  struct subscriber;
  using item_ref = detail::shared_item_ref<T>;

 public:
  class subscription;
  class publish_operation;
  class receive_operation;

  broadcast() : state_{new state} {}
  broadcast(const broadcast&) = delete;
  broadcast& operator=(const broadcast&) = delete;
  /// Closes it.
  ~broadcast() {
    state_->close();
    state_->drop();
  }

  /// Adds a subscriber, which gets what is accepted from now on. On a closed hub it gets nothing.
  /// *Throws*: `usage_error` if the capacity is 0.
  [[nodiscard]] subscription subscribe(subscription_options options = {}) {
    if (options.capacity == 0) throw usage_error{"rill: a subscription needs a capacity of at least 1"};
    return subscription{*new subscriber{*state_, options}};
  }

  /// Hands `item` to every subscriber, once none with `overflow::suspend` is full.
  /// *Completes* with true once it is accepted; with false, and `item` as it was, if the hub is closed.
  /// *Cancellation*: nobody gets it, and `item` is as it was. *Lifetime*: `item` is moved from only when it is
  /// accepted, so await the operation in the expression that makes it.
  publish_operation publish(T&& item) { return publish_operation{*state_, item_ref::reserve(), &item}; }
  publish_operation publish(const T& item) {
    return publish_operation{*state_, item_ref::holding(item), nullptr};
  }
  /// Publishes without waiting: false, and `item` as it was, if that would have to wait or the hub is closed.
  bool try_publish(T&& item) { return state_->try_publish(item_ref::reserve(), &item); }
  bool try_publish(const T& item) { return state_->try_publish(item_ref::holding(item), nullptr); }

  /// Refuses further items; what is queued can still be received. Waiting publishers get false.
  void close() noexcept { state_->close(); }
  [[nodiscard]] bool closed() const noexcept {
    detail::guard held{state_->lock};
    return state_->closed;
  }
  /// How many subscribers would get an item now.
  [[nodiscard]] std::size_t subscribers() const noexcept {
    detail::guard held{state_->lock};
    return state_->subscriber_count;
  }

 private:
  state* state_;
};

/// One subscriber's end of a `broadcast`; unsubscribes when destroyed.
/// *Concurrency*: any thread. *Lifetime*: outlives the tasks that wait on it.
template <class T>
class [[nodiscard]] broadcast<T>::subscription {
 public:
  subscription(subscription&& other) noexcept : self_{std::exchange(other.self_, nullptr)} {}
  subscription& operator=(subscription&& other) noexcept {
    if (this != &other) {
      reset();
      self_ = std::exchange(other.self_, nullptr);
    }
    return *this;
  }
  ~subscription() { reset(); }

  /// Takes the oldest item. *Completes* with it; or empty once the hub is closed, or this subscriber disconnected,
  /// and everything queued is taken. *Cancellation*: takes nothing. *Throws* what copying a `T` throws.
  receive_operation receive() noexcept { return receive_operation{*self_}; }
  /// Receives without waiting: empty if there is nothing.
  std::optional<T> try_receive() {
    item_ref item;
    {
      typename state::garbage dropped;
      detail::guard held{self_->hub.lock};
      static_cast<void>(self_->hub.give(*self_, item, dropped));
    }
    return item.extract();
  }

  /// How many items this subscriber missed just before the item that it received last; at the end, after it.
  [[nodiscard]] std::uint64_t missed() const noexcept {
    detail::guard held{self_->hub.lock};
    return self_->reported;
  }
  /// Whether it fell behind under `overflow::disconnect`.
  [[nodiscard]] bool disconnected() const noexcept {
    detail::guard held{self_->hub.lock};
    return self_->disconnected;
  }

 private:
  friend class broadcast;
  explicit subscription(subscriber& self) noexcept : self_{&self} {}
  void reset() noexcept {
    if (subscriber* self = std::exchange(self_, nullptr)) delete self;
  }

  subscriber* self_;
};

/// A subscriber as the hub sees it; guarded by the hub's lock.
template <class T>
struct broadcast<T>::subscriber : detail::list_link<> {
  struct queued {
    item_ref item;
    std::uint64_t missed_before;
  };

  subscriber(state& to, subscription_options options)
      : hub{to}, overflow{options.overflow}, queue{options.capacity} {
    hub.add(*this);
  }
  ~subscriber() {
    hub.remove(*this);
    hub.drop();
  }
  [[nodiscard]] bool holds_up() const noexcept {
    return overflow == rill::overflow::suspend && queue.full() && this->linked();
  }

  state& hub;
  const rill::overflow overflow;
  bool disconnected = false;
  std::uint64_t missed_first = 0;  // dropped before the front of the queue
  std::uint64_t missed_last = 0;   // dropped after its back
  std::uint64_t reported = 0;
  detail::ring<queued> queue;
  detail::waiting_list<receive_operation> receivers;
};

/// What hub and subscriptions share.
template <class T>
class broadcast<T>::state {
 public:
  // Destroys, after the lock is released, the items whose last reference was dropped under it.
  class garbage {
   public:
    garbage() noexcept = default;
    garbage(const garbage&) = delete;
    garbage& operator=(const garbage&) = delete;
    ~garbage() {
      while (first_ != nullptr) item_ref::destroy(std::exchange(first_, first_->next));
    }
    void add(item_ref&& dropped) noexcept {
      if (auto* last = dropped.release_last()) {
        last->next = first_;
        first_ = last;
      }
    }

   private:
    detail::shared_item<T>* first_ = nullptr;
  };

  void add(subscriber& added) noexcept {
    references_.fetch_add(1, std::memory_order_relaxed);
    detail::guard held{lock};
    if (closed) return;
    subscribers_.push_back(added);
    ++subscriber_count;
  }
  void remove(subscriber& removed) noexcept {
    garbage dropped;
    detail::guard held{lock};
    const bool held_up = removed.holds_up();
    unlink(removed);
    if (held_up) made_room(dropped);
  }
  void drop() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  void close() noexcept {
    detail::guard held{lock};
    closed = true;
    while (auto* publisher = publishers_.pop_front()) {
      if (publisher->waiter->claim()) publisher->waiter->wake();
    }
    while (subscriber* one = subscribers_.front()) {
      unlink(*one);
      end(*one);
    }
  }

  bool try_publish(item_ref item, T* source) noexcept {
    garbage dropped;
    detail::guard held{lock};
    if (closed || full_ != 0) return false;
    deliver(item, source, dropped);
    return true;
  }

  // With the lock held.
  [[nodiscard]] bool accepts() const noexcept { return !closed && full_ == 0; }
  void deliver(item_ref& item, T* source, garbage& dropped) noexcept {
    if (source != nullptr) item.fill(std::move(*source));
    subscribers_.for_each([&](subscriber& to) { deliver_to(to, item, dropped); });
    dropped.add(std::move(item));
  }
  // Takes the front of the queue; or, when the subscription has ended, nothing. False if it has to wait.
  bool give(subscriber& from, item_ref& into, garbage& dropped) noexcept {
    if (from.queue.empty()) {
      if (from.linked()) return false;
      from.reported = std::exchange(from.missed_first, 0) + std::exchange(from.missed_last, 0);
      return true;
    }
    const bool held_up = from.holds_up();
    typename subscriber::queued& front = from.queue.front();
    into = std::move(front.item);
    from.reported = std::exchange(from.missed_first, 0) + front.missed_before;
    from.queue.pop();
    if (held_up) made_room(dropped);
    return true;
  }
  void wait(publish_operation& publisher, detail::waiter& waiter) noexcept {
    publishers_.push_back(publisher.link_.of(publisher, waiter));
  }

  mutable detail::spin_lock lock;
  bool closed = false;
  std::size_t subscriber_count = 0;

 private:
  void deliver_to(subscriber& to, const item_ref& item, garbage& dropped) noexcept {
    while (auto* receiver = to.receivers.pop_front()) {
      if (!receiver->waiter->claim()) continue;
      receiver->operation->item_ = item;
      to.reported = std::exchange(to.missed_first, 0) + std::exchange(to.missed_last, 0);
      receiver->waiter->wake();
      return;
    }
    if (to.queue.full()) {
      if (to.overflow == overflow::drop_oldest) {
        to.missed_first += to.queue.front().missed_before + 1;
        dropped.add(std::move(to.queue.front().item));
        to.queue.pop();
      } else {
        ++to.missed_last;
        if (to.overflow == overflow::disconnect) {
          to.disconnected = true;
          unlink(to);
        }
        return;
      }
    }
    to.queue.push(typename subscriber::queued{item, std::exchange(to.missed_last, 0)});
    if (to.holds_up()) ++full_;
  }
  // A subscriber that held publishers up does so no longer.
  void made_room(garbage& dropped) noexcept {
    --full_;
    while (full_ == 0) {
      auto* publisher = publishers_.pop_front();
      if (publisher == nullptr) return;
      if (!publisher->waiter->claim()) continue;
      publish_operation& accepted = *publisher->operation;
      deliver(accepted.item_, accepted.source_, dropped);
      accepted.accepted_ = true;
      publisher->waiter->wake();
    }
  }
  void unlink(subscriber& removed) noexcept {
    if (!removed.linked()) return;
    removed.unlink();
    --subscriber_count;
  }
  void end(subscriber& ended) noexcept {
    while (auto* receiver = ended.receivers.pop_front()) {
      if (!receiver->waiter->claim()) continue;
      ended.reported = std::exchange(ended.missed_first, 0) + std::exchange(ended.missed_last, 0);
      receiver->waiter->wake();
    }
  }

  std::atomic<std::size_t> references_{1};
  std::size_t full_ = 0;  // subscribers that hold publishers up
  detail::intrusive_list<subscriber> subscribers_;
  detail::waiting_list<publish_operation> publishers_;
};

template <class T>
class [[nodiscard]] broadcast<T>::publish_operation : public detail::operation<publish_operation> {
 public:
  publish_operation(publish_operation&& other) noexcept
      : detail::operation<publish_operation>{std::move(other)},
        hub_{other.hub_},
        item_{std::move(other.item_)},
        source_{other.source_} {}

  bool poll() noexcept {
    typename state::garbage dropped;
    detail::guard held{hub_.lock};
    if (hub_.accepts()) accept(dropped);
    return accepted_ || hub_.closed;
  }
  bool arm(detail::waiter& waiter) noexcept {
    typename state::garbage dropped;
    detail::guard held{hub_.lock};
    if (hub_.accepts()) {
      if (!waiter.claim()) return false;
      accept(dropped);
      return true;
    }
    if (hub_.closed) return waiter.claim();
    hub_.wait(*this, waiter);
    return false;
  }
  void disarm() noexcept {
    detail::guard held{hub_.lock};
    link_.unlink();
  }
  [[nodiscard]] bool take() const noexcept { return accepted_; }

 private:
  friend class broadcast;
  publish_operation(state& hub, item_ref item, T* source) noexcept
      : hub_{hub}, item_{std::move(item)}, source_{source} {}

  void accept(typename state::garbage& dropped) noexcept {
    hub_.deliver(item_, source_, dropped);
    accepted_ = true;
  }

  state& hub_;
  item_ref item_;
  T* source_;
  bool accepted_ = false;
  detail::waiting<publish_operation> link_;
};

template <class T>
class [[nodiscard]] broadcast<T>::receive_operation : public detail::operation<receive_operation> {
 public:
  receive_operation(receive_operation&& other) noexcept
      : detail::operation<receive_operation>{std::move(other)}, from_{other.from_} {}

  bool poll() noexcept {
    typename state::garbage dropped;
    detail::guard held{from_.hub.lock};
    return from_.hub.give(from_, item_, dropped);
  }
  bool arm(detail::waiter& waiter) noexcept {
    typename state::garbage dropped;
    detail::guard held{from_.hub.lock};
    if (!from_.queue.empty() || !from_.linked()) {
      return waiter.claim() && from_.hub.give(from_, item_, dropped);
    }
    from_.receivers.push_back(link_.of(*this, waiter));
    return false;
  }
  void disarm() noexcept {
    detail::guard held{from_.hub.lock};
    link_.unlink();
  }
  [[nodiscard]] std::optional<T> take() { return item_.extract(); }

 private:
  friend class broadcast;
  explicit receive_operation(subscriber& from) noexcept : from_{from} {}

  subscriber& from_;
  item_ref item_;
  detail::waiting<receive_operation> link_;
};

}  // namespace rill
