// What the fragments of docs/asio.md take for granted.
#pragma once

#include "prelude.hpp"

#include <rill/asio.hpp>

#include <asio.hpp>
#include <asio/experimental/awaitable_operators.hpp>

#include <csignal>
#include <exception>

using namespace std::chrono_literals;
