// One entry of `metrics` in the config file. Private to the config parser.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "config/config_parts.h"

namespace coalmine::config {

// Names as users write them to what is measured: error_rate, latency_p50 … latency_p9999 (and the
// seed's p99_latency). Empty: not built in.
std::optional<judge::SignalSpec> built_in_signal(const std::string& name);

// The signal, with where its numbers come from put into spec.metrics and spec.rank. spec.judge is
// known already. Empty: reported as wrong.
std::optional<judge::SignalSpec> read_metric(const ConfigContext& context, const std::string& name,
                                             const YAML::Node& key, const YAML::Node& value,
                                             rollout::RolloutSpec& spec);

} // namespace coalmine::config
