// From flags, config file and defaults to the options of a server. Flags win over the file.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "app/command/commands.h"
#include "app/server.h"
#include "base/result.h"
#include "config/config.h"

namespace coalmine::app {

// invalid_argument: a flag or a value of the file that cannot be used, with its name.
Result<ServerOptions> server_options(const ServeFlags& flags, const config::Config& config);

// $COALMINE_DATA, else $XDG_STATE_HOME/coalmine, else ~/.local/state/coalmine, else
// ./coalmine-data.
std::string default_data_directory();

// What a person reads at the start: addresses, data, what to set in an application.
std::string banner(const Server& server, const std::string& data_directory,
                   const std::vector<std::string>& services);

// The sentence for a server that did not start, with the line that helps.
std::string start_error(const Error& error, const ServerOptions& options);

} // namespace coalmine::app
