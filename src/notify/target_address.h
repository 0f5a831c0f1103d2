// What log, journal and API say of where a notice goes. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "notify/outbox.h"

namespace coalmine::notify {

// Scheme, host and port: the rest of a target's URL is often its secret. Its kind when the address
// is not known.
std::string shown_address(const Target& target);

} // namespace coalmine::notify
