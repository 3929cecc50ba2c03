// A fixed ring of values that are constructed when they enter and destroyed when they leave.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace rill::detail {

/// Room for `capacity` values; not synchronised.
template <class T>
class ring {
 public:
  explicit ring(std::size_t capacity)
      : slots_{static_cast<T*>(::operator new(capacity * sizeof(T), std::align_val_t{alignof(T)}))},
        capacity_{capacity} {}
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;
  ~ring() {
    while (size_ != 0) pop();
    ::operator delete(slots_, std::align_val_t{alignof(T)});
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] bool full() const noexcept { return size_ == capacity_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] T& front() noexcept { return slots_[first_]; }

  template <class U>
  void push(U&& value) {
    std::size_t at = first_ + size_;
    if (at >= capacity_) at -= capacity_;
    ::new (static_cast<void*>(slots_ + at)) T(std::forward<U>(value));
    ++size_;
  }
  void pop() noexcept {
    slots_[first_].~T();
    if (++first_ == capacity_) first_ = 0;
    --size_;
  }

 private:
  T* slots_;
  std::size_t capacity_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

}  // namespace rill::detail
