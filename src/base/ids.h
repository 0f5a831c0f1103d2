// Strong integer ids: a SeriesId is not a RolloutId.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace coalmine {

template <typename Tag>
struct Id {
  std::uint64_t value = 0;
  auto operator<=>(const Id&) const = default;
};

using SeriesId = Id<struct SeriesTag>;
using RolloutId = Id<struct RolloutTag>;

} // namespace coalmine

template <typename Tag>
struct std::hash<coalmine::Id<Tag>> {
  std::size_t operator()(coalmine::Id<Tag> id) const noexcept {
    return std::hash<std::uint64_t>{}(id.value);
  }
};
