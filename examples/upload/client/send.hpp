// Sends one file, from wherever the server stopped receiving it.
#pragma once

#include "local_file.hpp"

#include <rill/coro/task.hpp>
#include <rill/fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace upload {

struct send_options {
  std::size_t chunk = 64 * 1024;  ///< Bytes of one message.
  std::uint64_t rate = 0;         ///< Bytes a second at most; 0: as fast as it goes.
  unsigned retries = 5;           ///< Attempts in a row, after the first, that may bring nothing forward.
};

/// Sends `file` as `name`. Gives its SHA-256, which the server has confirmed.
/// Throws `rill::status_error` when the server refuses it, or cannot be reached any more.
rill::task<std::string> send_file(const rill::client& client, const local_file& file, std::string name,
                                  send_options options);

}  // namespace upload
