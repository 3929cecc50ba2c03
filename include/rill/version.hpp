// The version of rill. The build takes it from here.
#pragma once

namespace rill {

inline constexpr int version_major = 0;
inline constexpr int version_minor = 1;
inline constexpr int version_patch = 0;

}  // namespace rill
