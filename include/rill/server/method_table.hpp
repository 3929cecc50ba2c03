// method_table: the methods that a server handles, as its engine wants them.
#pragma once

#include "rill/rpc/byte_stream.hpp"
#include "rill/rpc/homed_handler.hpp"
#include "rill/rpc/method.hpp"
#include "rill/server/handler.hpp"

#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rill {

namespace detail {

// In rill/server/homed.hpp.
template <class F>
struct homed_box;
template <auto M, class F>
void start_homed_call(server_call& call, void* handler) noexcept;

template <class T>
concept complete = requires { sizeof(T); };

}  // namespace detail

/// Options of one method. Zero means the server's setting.
struct method_options {
  queue_limits queue{};              ///< What a call's write queue holds before a write waits.
  std::size_t max_receive_size = 0;  ///< Bytes of one request.
};

/// Keeps handlers. *Concurrency*: filled by one thread, before the engine starts. *Lifetime*: outlives the engine.
class method_table {
 public:
  method_table() = default;
  method_table(const method_table&) = delete;
  method_table& operator=(const method_table&) = delete;

  /// Handles `M`, such as `&Greeter::Service::SayHello`, with a function or function object, which is kept.
  /// *Concurrency*: it is called for each call on the call's loop, so from several threads at once.
  /// *Throws*: `std::logic_error` if `M` has a handler already.
  template <auto M, class F>
  void handle(F&& handler, method_options options = {}) {
    using function = std::decay_t<F>;
    if constexpr (homed_handler<function>) {
      add_homed<M, function>(std::forward<F>(handler), options);
    } else if constexpr (detail::check_handler<M, function>()) {
      auto& box = keep(detail::handler_box<function>{std::forward<F>(handler), hook_});
      add<M>(&detail::start_call<M, function>, &box, options);
    }
  }
  /// Handles `M` with a member function of `object`, which outlives the server.
  template <auto M, class T, class Member>
    requires std::is_member_function_pointer_v<Member>
  void handle(T& object, Member member, method_options options = {}) {
    handle<M>(
        [&object,
         member]<class... Args>(Args&&... args) -> decltype((object.*member)(std::forward<Args>(args)...)) {
          return (object.*member)(std::forward<Args>(args)...);
        },
        options);
  }

  /// Where exceptions go whose text clients must not see; standard error unless set.
  void on_error(error_hook hook) { *hook_ = std::move(hook); }

  /// What `on_error` set; shared with the handlers, which may outlive the table.
  [[nodiscard]] const std::shared_ptr<error_hook>& error_reports() const noexcept { return hook_; }

  [[nodiscard]] std::span<const method_entry> entries() const noexcept {
    return {entries_.data(), entries_.size()};
  }

 private:
  using start_function = void (*)(server_call&, void*) noexcept;

  /// What lives as long as the table, in a list.
  struct kept {
    kept() = default;
    kept(const kept&) = delete;
    kept& operator=(const kept&) = delete;
    virtual ~kept() = default;

    std::unique_ptr<kept> next;
  };
  template <class T>
  struct kept_value final : kept {
    explicit kept_value(T&& from) : value{std::move(from)} {}
    T value;
  };
  template <class T>
  T& keep(T value) {
    auto* added = new kept_value<T>{std::move(value)};
    added->next = std::move(kept_);
    kept_.reset(added);
    return added->value;
  }

  template <auto M>
  void add(start_function start, void* handler, const method_options& options) {
    method_entry entry;
    entry.path = method<M>::path().c_str();
    entry.kind = method<M>::kind;
    entry.limits = {options.queue, options.max_receive_size};
    entry.start = start;
    entry.handler = handler;
    add(entry);
  }
  void add(const method_entry& entry) {
    for (const method_entry& other : entries_) {
      if (std::string_view{other.path} == entry.path) {
        throw std::logic_error{"rill: " + std::string{entry.path} + " has a handler already"};
      }
    }
    entries_.push_back(entry);
  }
  template <auto M, class F>
  void add_homed(F&& handler, const method_options& options) {
    static_assert(detail::complete<detail::homed_box<F>>,
                  "rill: a handler with a home of its own needs #include <rill/server/homed.hpp>");
    using function = std::remove_reference_t<decltype(handler.rill_handler())>;
    if constexpr (detail::complete<detail::homed_box<F>> && detail::check_handler<M, function>()) {
      const auto& box = keep(std::make_shared<detail::homed_box<F>>(std::move(handler), hook_));
      add<M>(&detail::start_homed_call<M, F>, box.get(), options);
    }
  }

  std::shared_ptr<error_hook> hook_ = std::make_shared<error_hook>();
  std::vector<method_entry> entries_;
  std::unique_ptr<kept> kept_;
};

}  // namespace rill
