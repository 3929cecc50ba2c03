// Wraps an executor in a strand, unless it is one already.
#pragma once

#include "rill/asio/detail/names.hpp"

#include <asio/io_context.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>

namespace rill::detail {

template <class E>
inline constexpr bool is_strand = false;
template <class E>
inline constexpr bool is_strand<::asio::strand<E>> = true;

/// An executor that runs one function at a time: `executor` itself if that is known to be a strand.
template <asio_executor E>
::asio::any_io_executor serial_executor(const E& executor) {
  if constexpr (is_strand<E>) {
    return executor;
  } else {
    return ::asio::make_strand(executor);
  }
}
inline ::asio::any_io_executor serial_executor(const ::asio::any_io_executor& executor) {
  using context = ::asio::io_context::executor_type;
  using pool = ::asio::thread_pool::executor_type;
  const bool serial = executor.target<::asio::strand<context>>() != nullptr ||
                      executor.target<::asio::strand<pool>>() != nullptr ||
                      executor.target<::asio::strand<::asio::any_io_executor>>() != nullptr;
  if (serial) return executor;
  return ::asio::make_strand(executor);
}

}  // namespace rill::detail
