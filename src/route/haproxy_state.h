// What HAProxy says about the servers of a backend, read from its own text.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace coalmine::route {

struct ServerState {
  std::string name;
  int weight = 0;      // srv_uweight: what was last set
  unsigned admin = 0;  // srv_admin_state: flags of maintenance and drain, however they came
  int operational = 0; // srv_op_state: 0 stopped, 1 starting, 2 running, 3 stopping
  bool backup = false; // used only when all others are down
  bool cookie = false; // persistence by cookie: clients stay with it at weight 0

  static constexpr unsigned kForcedMaint = 0x01; // `set server … state maint`
  static constexpr unsigned kForcedDrain = 0x08; // `set server … state drain`
  // New requests reach it by weight. Health is left out: it comes and goes by itself.
  bool in_rotation() const { return admin == 0 && !backup; }
};

// What to ask: one line that answers for the three functions below.
std::string state_question(const std::string& backend);

// The backend's `balance`, from the answer to state_question; "" when HAProxy does not tell.
std::string parse_algorithm(const std::string& backend, std::string_view answer);

// Why the servers' shares of requests are not those of their weights, as a clause; "" when nothing
// is known. servers: those that are meant to share the traffic. HAProxy gives the weight of a
// server that is DOWN to the others, and only some algorithms go by weights and requests.
std::string split_cause_of(const std::string& backend, const std::vector<ServerState>& servers,
                           const std::string& algorithm);

// The same for a map, which names no backends: whether one of the two that split its traffic is
// DOWN. They are known by their names, which hold "canary" or "stable" and, where several do, the
// key of the map. answer: to kBackendsQuestion.
inline constexpr std::string_view kBackendsQuestion = "show stat -1 2 -1"; // 2: backends
std::string split_cause_of_map(const std::string& key, std::string_view answer);
// Why the one of stable could take no traffic, as a clause; "" when it could, or is not known.
std::string stable_down_of_map(const std::string& key, std::string_view answer);

// The answer to state_question. not_found when HAProxy knows no such backend.
Result<std::vector<ServerState>> parse_state(const std::string& backend, std::string_view answer);

// From the answer to `show table`: the backend keeps a stick table, so clients may stay with a
// server at weight 0.
bool has_stick_table(const std::string& backend, std::string_view answer);

// From the answer to `get map`. An absent key is nullopt.
Result<std::optional<std::string>> parse_map_value(std::string_view answer);

} // namespace coalmine::route
