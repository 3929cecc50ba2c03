// rill with standalone Asio: tasks on executors, Asio operations in tasks, tasks as Asio operations.
#pragma once

#include "rill/asio/async_run.hpp"
#include "rill/asio/spawn.hpp"
#include "rill/asio/use_task.hpp"
