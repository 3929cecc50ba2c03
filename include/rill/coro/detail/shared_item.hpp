// A value that several queues share; whoever takes it last moves it out, the others copy.
#pragma once

#include <atomic>
#include <cstddef>
#include <new>
#include <optional>
#include <utility>

namespace rill::detail {

/// States of `references`: how many `shared_item_ref`s point here.
template <class T>
struct shared_item {
  shared_item() noexcept {}
  explicit shared_item(const T& from) : value{from}, filled{true} {}
  shared_item(const shared_item&) = delete;
  shared_item& operator=(const shared_item&) = delete;
  ~shared_item() {
    if (filled) value.~T();
  }

  union {
    T value;
  };
  bool filled = false;
  std::atomic<std::size_t> references{1};
  shared_item* next = nullptr;  // for whoever collects items to destroy
};

/// A counted reference to a `shared_item`, or empty.
template <class T>
class shared_item_ref {
 public:
  shared_item_ref() noexcept = default;
  static shared_item_ref reserve() { return shared_item_ref{new shared_item<T>}; }
  static shared_item_ref holding(const T& value) { return shared_item_ref{new shared_item<T>(value)}; }

  shared_item_ref(const shared_item_ref& other) noexcept : item_{other.item_} {
    if (item_ != nullptr) item_->references.fetch_add(1, std::memory_order_relaxed);
  }
  shared_item_ref(shared_item_ref&& other) noexcept : item_{std::exchange(other.item_, nullptr)} {}
  shared_item_ref& operator=(shared_item_ref other) noexcept {
    std::swap(item_, other.item_);
    return *this;
  }
  ~shared_item_ref() {
    if (shared_item<T>* last = release_last()) destroy(last);
  }

  /// Puts the value in, once, before anybody else holds a reference.
  void fill(T&& value) noexcept {
    ::new (static_cast<void*>(std::addressof(item_->value))) T(std::move(value));
    item_->filled = true;
  }
  /// Gives up the reference; the item if this was the last one, which the caller then destroys.
  [[nodiscard]] shared_item<T>* release_last() noexcept {
    shared_item<T>* item = std::exchange(item_, nullptr);
    if (item == nullptr || item->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return nullptr;
    return item;
  }
  static void destroy(shared_item<T>* item) noexcept { delete item; }

  /// Takes the value out and gives up the reference; empty if there is none.
  std::optional<T> extract() {
    const shared_item_ref owned{std::move(*this)};
    if (owned.item_ == nullptr) return std::nullopt;
    if (owned.item_->references.load(std::memory_order_acquire) == 1) return std::move(owned.item_->value);
    return std::as_const(owned.item_->value);
  }

 private:
  explicit shared_item_ref(shared_item<T>* item) noexcept : item_{item} {}

  shared_item<T>* item_ = nullptr;
};

}  // namespace rill::detail
