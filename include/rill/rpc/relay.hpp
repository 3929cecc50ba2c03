// Relays: how a task uses a call whose loop is not the task's home. See the two headers for the two sides.
#pragma once

#include "rill/rpc/client_relay.hpp"
#include "rill/rpc/server_relay.hpp"
