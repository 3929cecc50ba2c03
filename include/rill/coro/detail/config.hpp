// The compiler facts that the toolkit depends on, and the only place that defines macros for them.
// Nothing here depends on the optimisation level: translation units with different flags may be mixed.
#pragma once

#include <coroutine>

#if !defined(__cpp_impl_coroutine) && !defined(__cpp_coroutines)
#error "rill needs C++20 coroutines: compile with -std=c++20 or newer"
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RILL_ASAN 1
#elif __has_feature(thread_sanitizer)
#define RILL_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(RILL_ASAN)
#define RILL_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(RILL_TSAN)
#define RILL_TSAN 1
#endif

// GCC turns symmetric transfer into a tail call only when it optimises and no sanitizer is on. Elsewhere a loop
// over children that complete at once would overflow the stack, so awaiting a task then returns through a flag.
#if defined(__clang__) ||                                                                         \
    (defined(__GNUC__) && defined(__OPTIMIZE__) && !defined(RILL_ASAN) && !defined(RILL_TSAN)) || \
    defined(_MSC_VER)
#define RILL_TAIL_TRANSFER 1
#else
#define RILL_TAIL_TRANSFER 0
#endif

// GCC 12 moves a temporary aggregate or lambda of a co_await or co_yield expression as bytes, and destroys it twice.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#define RILL_BROKEN_TEMPORARIES 1
#else
#define RILL_BROKEN_TEMPORARIES 0
#endif

namespace rill::detail {
inline constexpr bool tail_transfer = RILL_TAIL_TRANSFER != 0;
inline constexpr bool broken_temporaries = RILL_BROKEN_TEMPORARIES != 0;
}  // namespace rill::detail
