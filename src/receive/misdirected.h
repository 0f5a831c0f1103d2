// What is wrong with telemetry that was not meant for where it came, or not written as OTLP has it.
// Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "receive/json_reader.h"
#include "receive/otlp.h"

namespace coalmine::receive {

// What a payload that cannot be decoded looks like, with what to do: "; it looks like JSON, send it
// as application/json". "" when it looks like what it should be. encoding: as the client said.
std::string looks_like(std::string_view payload, Encoding encoding);

// Why a JSON payload holds no item: the first object whose list of items has another name, and the
// keys that it has. "" when every object is as OTLP has it, so that the payload is just empty.
std::string find_stranger(JsonElement root, Signal signal);

// "milliseconds", where a time that should be Unix nanoseconds is within a year of now as Unix
// milliseconds; so for seconds and microseconds. "" otherwise.
std::string_view mistaken_unit(std::uint64_t time_ns, std::int64_t now_ms);

} // namespace coalmine::receive
