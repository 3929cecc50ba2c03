// What the fuzz targets say when something does not hold.
#pragma once

#include <cstdio>
#include <cstdlib>

#define RILL_FUZZ_CHECK(condition)                                                             \
  do {                                                                                         \
    if (!(condition)) {                                                                        \
      std::fprintf(stderr, "%s:%d: this does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                            \
    }                                                                                          \
  } while (false)
