// The two sides of a comparison.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace coalmine {

enum class Track : std::uint8_t { stable, canary };
inline constexpr std::array kBothTracks = {Track::canary, Track::stable};

} // namespace coalmine
