// Durations and steady points in time, as the home's nanoseconds, without the cost of <chrono>.
#pragma once

#include <concepts>
#include <cstdint>

namespace rill::detail {

/// `std::chrono::duration`, told by its members so that <chrono> is included only by those who make one.
template <class D>
concept duration_like = requires(const D& d) {
  d.count();
  { D::period::num } -> std::convertible_to<std::int64_t>;
  { D::period::den } -> std::convertible_to<std::int64_t>;
};

/// `std::chrono::steady_clock::time_point`, or that of another steady clock with the same epoch.
template <class P>
concept steady_time_point_like = requires(const P& p) {
  { p.time_since_epoch() } -> duration_like;
  requires P::clock::is_steady;
};

/// In nanoseconds, rounded up so that nothing is early; what does not fit becomes the nearest that does.
template <duration_like D>
constexpr std::int64_t to_nanoseconds(D d) noexcept {
  constexpr long double unit = 1e9L * D::period::num / D::period::den;
  if constexpr (std::integral<typename D::rep> && D::period::num == 1 &&
                1'000'000'000 % D::period::den == 0) {
    constexpr std::int64_t factor = 1'000'000'000 / D::period::den;
    if (d.count() > INT64_MAX / factor) return INT64_MAX;
    if (d.count() < INT64_MIN / factor) return INT64_MIN;
    return static_cast<std::int64_t>(d.count()) * factor;
  } else {
    const long double exact = static_cast<long double>(d.count()) * unit;
    if (exact >= static_cast<long double>(INT64_MAX)) return INT64_MAX;
    if (exact <= static_cast<long double>(INT64_MIN)) return INT64_MIN;
    const auto whole = static_cast<std::int64_t>(exact);
    return static_cast<long double>(whole) < exact ? whole + 1 : whole;
  }
}

/// `span` after `now`; `never` if that is out of range.
constexpr std::int64_t after(std::int64_t now, std::int64_t span) noexcept {
  if (span > 0 && now > INT64_MAX - span) return INT64_MAX;
  if (span < 0 && now < INT64_MIN - span) return INT64_MIN;
  return now + span;
}

}  // namespace rill::detail
