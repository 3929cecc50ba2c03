// Tells an object that is no coroutine when a home is destroyed: a root on that home that waits for nothing else.
#pragma once

#include "rill/coro/detail/root.hpp"
#include "rill/coro/scheduler.hpp"

#include <coroutine>
#include <utility>

namespace rill::detail {

/// Calls `lost` on the thread that destroys the home, after everything that was attached to it before is gone.
/// *Concurrency*: `attach` and `detach` on the home only.
class home_anchor {
 public:
  using function = void (*)(home_anchor&) noexcept;

  explicit home_anchor(function lost) noexcept : lost_{lost} {}
  home_anchor(const home_anchor&) = delete;
  home_anchor& operator=(const home_anchor&) = delete;

  void attach(scheduler& home) {
    task_context context;
    context.home = &home;
    wait(*this).start(context);
  }
  /// No effect if it is not attached, or was lost.
  void detach() noexcept {
    if (auto frame = std::exchange(frame_, nullptr)) frame.destroy();
  }

 private:
  class frame_guard {
   public:
    explicit frame_guard(home_anchor& anchor) noexcept : anchor_{anchor} {}
    frame_guard(const frame_guard&) = delete;
    frame_guard& operator=(const frame_guard&) = delete;
    ~frame_guard() {
      if (std::exchange(anchor_.frame_, nullptr)) anchor_.lost_(anchor_);
    }

   private:
    home_anchor& anchor_;
  };
  class until_destroyed {
   public:
    explicit until_destroyed(home_anchor& anchor) noexcept : anchor_{&anchor} {}
    void rill_bind(task_context&) noexcept {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> frame) noexcept { anchor_->frame_ = frame; }
    void await_resume() const noexcept {}

   private:
    home_anchor* anchor_;
  };
  static root wait(home_anchor& anchor) {
    frame_guard guard{anchor};
    co_await until_destroyed{anchor};
  }

  function lost_;
  std::coroutine_handle<> frame_;
};

}  // namespace rill::detail
