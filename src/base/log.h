// Structured log lines on stderr: time, level, message, then key=value fields (logfmt).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace coalmine {

enum class LogLevel { debug, info, warn, error, off };

using LogField = std::pair<std::string_view, std::string>;
using LogFields = std::initializer_list<LogField>;

// Any thread. Set once at start; lines below the level cost one comparison. Never pass a secret.
void set_log_level(LogLevel level);

void log_debug(std::string_view message, LogFields fields = {});
void log_info(std::string_view message, LogFields fields = {});
void log_warn(std::string_view message, LogFields fields = {});
void log_error(std::string_view message, LogFields fields = {});

} // namespace coalmine
