// `backup`: telemetry and journal copied into a directory that `--data` can be pointed at.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "serve/api.h"
#include "store/store.h"

namespace coalmine::app {

// Copies the data directory of a server whose store this is. to must not exist or be empty. Beside
// telemetry/ and journal/ it gets SHA256SUMS, written last, as sha256sum reads it. On failure what
// was written is removed. failed_precondition: to is in use.
Result<serve::Backup> backup(const std::string& data_directory, store::Store& store,
                             const std::string& to);

} // namespace coalmine::app
