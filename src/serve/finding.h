// One thing that `coalmine doctor` looked at, for whoever shows it. A plain value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace coalmine::serve {

struct Finding {
  enum class State {
    good,
    missing, // nothing is wrong, and something is still to come: no canary is deployed
    wrong    // it keeps a rollout from working
  };
  State state = State::good;
  std::string about;    // "server", or a service.name
  std::string text;     // one sentence
  std::string remedy{}; // what to do; "" where there is nothing
};

constexpr std::string_view to_string(Finding::State state) {
  switch (state) {
    case Finding::State::good: return "good";
    case Finding::State::missing: return "missing";
    case Finding::State::wrong: return "wrong";
  }
  return "wrong";
}

} // namespace coalmine::serve
