// Intrusive containers: a doubly linked list whose elements can leave at any time, and a singly linked queue.
// Neither allocates; the elements outlive their membership.
#pragma once

#include <cstddef>
#include <utility>

namespace rill::detail {

/// A link of an `intrusive_list`; knows whether it is in one. `Tag` allows several links in one object.
template <class Tag = void>
class list_link {
 public:
  list_link() noexcept = default;
  list_link(const list_link&) = delete;
  list_link& operator=(const list_link&) = delete;

  [[nodiscard]] bool linked() const noexcept { return next_ != nullptr; }
  void unlink() noexcept {
    if (next_ == nullptr) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = nullptr;
    previous_ = nullptr;
  }

 private:
  template <class, class>
  friend class intrusive_list;
  list_link* next_ = nullptr;
  list_link* previous_ = nullptr;
};

/// A circular list of `T`, which derives from `list_link<Tag>`.
template <class T, class Tag = void>
class intrusive_list {
  using link = list_link<Tag>;

 public:
  intrusive_list() noexcept { root_.next_ = root_.previous_ = &root_; }
  intrusive_list(const intrusive_list&) = delete;
  intrusive_list& operator=(const intrusive_list&) = delete;

  [[nodiscard]] bool empty() const noexcept { return root_.next_ == &root_; }
  [[nodiscard]] T* front() noexcept { return empty() ? nullptr : static_cast<T*>(root_.next_); }

  void push_back(T& item) noexcept { insert_before(root_, item); }
  void push_front(T& item) noexcept { insert_before(*root_.next_, item); }
  T* pop_front() noexcept {
    T* first = front();
    if (first != nullptr) static_cast<link*>(first)->unlink();
    return first;
  }
  /// Calls `visit` for each element in order; `visit` may unlink the element it is given, and no other.
  template <class F>
  void for_each(F&& visit) {
    for (link* at = root_.next_; at != &root_;) {
      link* following = at->next_;
      visit(static_cast<T&>(*at));
      at = following;
    }
  }

 private:
  static void insert_before(link& position, T& item) noexcept {
    link& added = item;
    added.next_ = &position;
    added.previous_ = position.previous_;
    position.previous_->next_ = &added;
    position.previous_ = &added;
  }

  link root_;
};

/// A first-in-first-out queue of `T`, linked through its public member `next`.
template <class T>
class intrusive_queue {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  void push(T& item) noexcept {
    item.next = nullptr;
    (tail_ != nullptr ? tail_->next : head_) = &item;
    tail_ = &item;
    ++size_;
  }
  T* pop() noexcept {
    T* first = head_;
    if (first != nullptr) {
      head_ = first->next;
      if (head_ == nullptr) tail_ = nullptr;
      first->next = nullptr;
      --size_;
    }
    return first;
  }
  /// Appends everything in `other`, and leaves it empty.
  void splice(intrusive_queue& other) noexcept {
    if (other.head_ == nullptr) return;
    (tail_ != nullptr ? tail_->next : head_) = other.head_;
    tail_ = other.tail_;
    size_ += std::exchange(other.size_, 0);
    other.head_ = other.tail_ = nullptr;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace rill::detail
