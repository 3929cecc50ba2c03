// The gRPC service over the same state.
#pragma once

#include "store.hpp"

#include <rill/rill.hpp>

#include <asio/any_io_executor.hpp>

/// Adds the methods to `server`; their handlers run on `strand`, which is that of `shared`.
void add_store_service(rill::server& server, const asio::any_io_executor& strand, shared_store& shared);
