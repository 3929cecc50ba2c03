// The line protocol: a server as it is written with Asio alone. It knows nothing of gRPC or rill's tasks.
#pragma once

#include "store.hpp"

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

/// Accepts connections until `acceptor` is closed. On the strand of `shared`.
asio::awaitable<void> serve_lines(asio::ip::tcp::acceptor& acceptor, shared_store& shared);
