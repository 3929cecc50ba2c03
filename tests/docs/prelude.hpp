// What the documentation's fragments take for granted.
#pragma once

#include "helloworld.grpc.pb.h"
#include "route_guide.grpc.pb.h"

#include <rill/rill.hpp>

#include <chrono>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>

using namespace helloworld;
using namespace routeguide;
