// Caches which series selectors found in the index. Panels and the looks of a canary ask for the
// same series again and again.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "store/series/series_index.h"

namespace coalmine::store {

// The request metrics of one instance, by source. For one of their names, one source is chosen from
// these.
struct SourceChoice {
  // False for a source that counts requests and not their errors while another one counts both.
  // Rates of errors need both counts from one source: an unknown number of errors is not zero.
  bool complete(std::size_t source) const {
    if (errors[source]) return true;
    for (std::size_t i = 0; i < errors.size(); ++i) {
      if (errors[i] && !requests[i].empty()) return false;
    }
    return true;
  }

  bool duration = false;                                  // the name is kDurationName
  std::array<bool, 3> errors{};                           // which sources have an error counter
  std::array<std::vector<const SeriesInfo*>, 3> requests; // its request counters
  std::array<std::vector<const SeriesInfo*>, 3> named;    // its series of that name
};

// The series that match some matchers, at one version of the index.
struct Matched {
  std::uint64_t version = 0;
  std::vector<const SeriesInfo*> series; // in order of id
  // For each series that is a request metric, its place in choices; for others UINT32_MAX.
  std::vector<std::uint32_t> choice_of;
  std::vector<SourceChoice> choices;
};

// Thread-safe. Remembers the selectors of running rollouts and open panels. Results hold pointers
// into the index and may be read only under the lock that guards the index.
class SelectorCache {
 public:
  // invalid_argument: a matcher's regular expression does not compile.
  Result<std::shared_ptr<const Matched>> find(const SeriesIndex& index,
                                              const std::vector<Matcher>& matchers);
  // Forgets what was not asked for since the call kMostUnused calls ago: the selectors of rollouts
  // that have ended and of closed panels.
  void forget_unused();
  std::size_t size() const;
  static constexpr std::uint64_t kMostUnused = 20; // ten minutes of upkeep

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const Matched> matched;
    std::uint64_t used = 0; // calls of forget_unused() before it was last asked for
  };
  void drop(std::list<Entry>::iterator it);

  mutable std::mutex mutex_;
  std::list<Entry> entries_; // most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;
  std::size_t series_ = 0;  // of all entries
  std::uint64_t calls_ = 0; // of forget_unused()
};

} // namespace coalmine::store
