// HAProxy as a router, in both layouts: server weights in one backend, or two backends and a key of
// a map.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <iterator>
#include <mutex>

#include "route/haproxy_socket.h"
#include "route/haproxy_state.h"
#include "route/haproxy_weights.h"
#include "route/router.h"

namespace coalmine::route {
namespace {

using Steady = std::chrono::steady_clock;

// The time one call may take, all its exchanges with HAProxy together.
class Budget {
 public:
  explicit Budget(int timeout_ms)
      : started_(Steady::now()), deadline_(started_ + std::chrono::milliseconds(timeout_ms)) {}
  Deadline deadline() const { return deadline_; }
  double elapsed_ms() const {
    return std::chrono::duration<double, std::milli>(Steady::now() - started_).count();
  }

 private:
  Steady::time_point started_;
  Deadline deadline_;
};

Status check_share(Weight weight) {
  if (weight.canary >= 0 && weight.canary <= 1) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("a weight is a share from 0 to 1, not {}", weight.canary));
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

std::string joined(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

// Layout A. Calls that change something wait for each other, so that two cannot leave a mix of
// both.
class ServerWeightsRouter final : public Router {
 public:
  ServerWeightsRouter(HaproxyOptions options, RuntimeSocket socket)
      : options_(std::move(options)), socket_(std::move(socket)) {}

  std::string describe() const override {
    return fmt::format("haproxy {} {}", socket_.address(), options_.backend);
  }
  Result<Applied> set(Weight weight) override;
  Result<Applied> panic() override;
  Result<Weight> read() override;
  Status check() override;
  bool may_have_raised() const override { return raised_; }

 private:
  using Servers = std::vector<ServerState>;

  // The servers, and what is known to spoil the split by weights.
  struct Backend {
    Servers servers;
    std::string algorithm;
  };

  Result<Backend> ask_state(Deadline deadline) const;
  std::string split_cause(const Backend& backend) const;
  Status check_servers(const Servers& servers, Weight weight) const;
  std::string stable_down(const Servers& servers) const;
  std::string no_stable_server(const Servers& servers) const;
  Result<TrackWeights> choose(const Servers& servers, Weight weight) const;
  Status apply(const Servers& servers, TrackWeights weights, Deadline deadline) const;
  Status hold_sticky_clients(const Servers& servers, Deadline deadline) const;
  Result<Applied> read_back(Weight asked, const Budget& budget) const;

  std::string command(const std::string& server, std::string_view what) const {
    return fmt::format("set server {}/{} {}", options_.backend, server, what);
  }
  bool is_canary(const ServerState& s) const { return contains(options_.canary_servers, s.name); }
  bool is_stable(const ServerState& s) const { return contains(options_.stable_servers, s.name); }
  Totals totals(const Servers& servers) const;

  const HaproxyOptions options_;
  const RuntimeSocket socket_;
  std::mutex changing_;
  std::atomic<bool> raised_ = false;
};

Result<ServerWeightsRouter::Backend> ServerWeightsRouter::ask_state(Deadline deadline) const {
  TRY_ASSIGN(const auto answer, socket_.ask(state_question(options_.backend), deadline));
  Backend out;
  TRY_ASSIGN(out.servers, parse_state(options_.backend, answer));
  out.algorithm = parse_algorithm(options_.backend, answer);
  return out;
}

std::string ServerWeightsRouter::split_cause(const Backend& backend) const {
  Servers ours;
  std::ranges::copy_if(backend.servers, std::back_inserter(ours),
                       [&](const ServerState& s) { return is_canary(s) || is_stable(s); });
  return split_cause_of(options_.backend, ours, backend.algorithm);
}

// Whatever is not the canary's counts as stable, listed or not: requests that reach it are not the
// canary's.
Totals ServerWeightsRouter::totals(const Servers& servers) const {
  Totals out;
  for (const auto& s : servers) {
    if (s.in_rotation()) (is_canary(s) ? out.canary : out.stable) += s.weight;
  }
  return out;
}

Status ServerWeightsRouter::check_servers(const Servers& servers, Weight weight) const {
  std::vector<std::string> known;
  for (const auto& s : servers) known.push_back(s.name);
  for (const auto* list : {&options_.stable_servers, &options_.canary_servers}) {
    for (const auto& name : *list) {
      if (contains(known, name)) continue;
      return fail(ErrorCode::failed_precondition,
                  fmt::format("backend {} has no server {}; it has {}", options_.backend, name,
                              joined(known)));
    }
  }
  if (weight.canary <= 0) return {};
  for (const auto& s : servers) {
    if (is_canary(s) || is_stable(s) || !s.in_rotation() || s.weight == 0) continue;
    return fail(ErrorCode::failed_precondition,
                fmt::format("server {} of backend {} takes traffic and is listed neither as stable "
                            "nor as canary; list it or set its weight to 0",
                            s.name, options_.backend));
  }
  return {};
}

Result<TrackWeights> ServerWeightsRouter::choose(const Servers& servers, Weight weight) const {
  std::size_t stable = 0, canary = 0;
  for (const auto& s : servers) {
    if (is_stable(s) && s.in_rotation()) ++stable;
    if (is_canary(s) && !s.backup) ++canary; // maintenance of a canary is ours to end
  }
  if (weight.canary < 1 && stable == 0) {
    return fail(
        ErrorCode::failed_precondition,
        fmt::format(
            "no stable server of backend {} is in rotation ({}); its share cannot be {:.4g}%",
            options_.backend, joined(options_.stable_servers), (1 - weight.canary) * 100));
  }
  if (weight.canary > 0 && canary == 0) {
    return fail(
        ErrorCode::failed_precondition,
        fmt::format("all canary servers of backend {} are backup servers", options_.backend));
  }
  const auto out = nearest_weights(weight.canary, stable, canary);
  const double reachable = share_of(out, stable, canary);
  if (std::abs(reachable - weight.canary) > tolerance(options_, weight.canary)) {
    return fail(
        ErrorCode::failed_precondition,
        fmt::format("{:.4g}% cannot be expressed with {} stable and {} canary servers of weights "
                    "up to {}; the nearest is {:.4g}%",
                    weight.canary * 100, stable, canary, kMaxServerWeight, reachable * 100));
  }
  return out;
}

Status ServerWeightsRouter::apply(const Servers& servers, TrackWeights weights,
                                  Deadline deadline) const {
  Totals after;
  std::vector<std::string> of_canary, of_stable, ready;
  for (const auto& s : servers) {
    if (is_canary(s)) {
      of_canary.push_back(command(s.name, fmt::format("weight {}", weights.canary)));
      if (!s.backup) after.canary += weights.canary;
      // Last, so that it comes back with its new weight.
      if (weights.canary > 0 &&
          (s.admin & (ServerState::kForcedMaint | ServerState::kForcedDrain)) != 0) {
        ready.push_back(command(s.name, "state ready"));
      }
    } else if (is_stable(s)) {
      of_stable.push_back(command(s.name, fmt::format("weight {}", weights.stable)));
      if (s.in_rotation()) after.stable += weights.stable;
    }
  }
  const bool canary_first = canary_goes_first(totals(servers), after);
  auto commands = canary_first ? of_canary : of_stable;
  const auto& second = canary_first ? of_stable : of_canary;
  commands.insert(commands.end(), second.begin(), second.end());
  commands.insert(commands.end(), ready.begin(), ready.end());
  return socket_.run(commands, deadline);
}

// At weight 0 a client that is held by a cookie or a stick table would stay on the canary:
// maintenance ends that. set() ends the maintenance. Backends without persistence are left in
// rotation, so that the canary's health stays visible.
Status ServerWeightsRouter::hold_sticky_clients(const Servers& servers, Deadline deadline) const {
  bool sticky = std::ranges::any_of(servers, &ServerState::cookie);
  if (!sticky) {
    TRY_ASSIGN(const auto tables, socket_.ask("show table", deadline));
    sticky = has_stick_table(options_.backend, tables);
  }
  if (!sticky) return {};
  std::vector<std::string> commands;
  for (const auto& s : servers) {
    if (is_canary(s)) commands.push_back(command(s.name, "state maint"));
  }
  return socket_.run(commands, deadline);
}

Result<Applied> ServerWeightsRouter::read_back(Weight asked, const Budget& budget) const {
  TRY_ASSIGN(const auto backend, ask_state(budget.deadline()));
  const auto& servers = backend.servers;
  const auto now = totals(servers);
  Applied out;
  out.asked = asked;
  if (now.canary + now.stable <= 0) {
    return fail(
        ErrorCode::failed_precondition,
        fmt::format("no server of backend {} is left in rotation with a weight; clients get 503",
                    options_.backend));
  }
  out.applied.canary = now.canary / (now.canary + now.stable);
  out.applied.split_cause = split_cause(backend);
  std::vector<std::string> parts;
  for (const auto& s : servers) {
    if (!is_canary(s) && !is_stable(s)) continue;
    const auto* state = (s.admin & ~ServerState::kForcedDrain) != 0 ? " (maintenance)"
                        : s.admin != 0                              ? " (drain)"
                        : s.operational == 2                        ? ""
                                                                    : " (down)";
    parts.push_back(fmt::format("{} weight {}{}", s.name, s.weight, state));
  }
  out.detail = joined(parts);
  if (std::abs(out.applied.canary - asked.canary) > tolerance(options_, asked.canary)) {
    return fail(ErrorCode::unavailable,
                fmt::format("asked HAProxy for {:.4g}% and read back {:.4g}% ({}); somebody else "
                            "may be changing it",
                            asked.canary * 100, out.applied.canary * 100, out.detail));
  }
  out.elapsed_ms = budget.elapsed_ms();
  return out;
}

Result<Applied> ServerWeightsRouter::set(Weight weight) {
  TRY(check_share(weight));
  const std::lock_guard lock(changing_);
  const Budget budget(options_.timeout_ms);
  TRY_ASSIGN(const auto backend, ask_state(budget.deadline()));
  const auto& servers = backend.servers;
  TRY(check_servers(servers, weight));
  TRY_ASSIGN(const auto weights, choose(servers, weight));
  if (weight.canary > 0) raised_ = true;
  TRY(apply(servers, weights, budget.deadline()));
  if (weight.canary <= 0) TRY(hold_sticky_clients(servers, budget.deadline()));
  return read_back(weight, budget);
}

// A clause when every stable server is DOWN by HAProxy's checks and none can be brought back; else
// "". One in maintenance is brought back when all are (panic), so its health is not known yet.
std::string ServerWeightsRouter::stable_down(const Servers& servers) const {
  std::vector<std::string> down;
  for (const auto& s : servers) {
    if (!is_stable(s) || !s.in_rotation()) continue;
    if (s.operational != 0) return "";
    down.push_back(s.name);
  }
  if (down.empty()) return "";
  return fmt::format("no stable server is up: HAProxy reports {} of backend {} DOWN", joined(down),
                     options_.backend);
}

// Needs less than set(): missing servers, foreign servers and a state that cannot be read do not
// stop it.
Result<Applied> ServerWeightsRouter::panic() {
  const std::lock_guard lock(changing_);
  const Budget budget(options_.timeout_ms);
  auto backend = ask_state(budget.deadline());
  if (!backend && backend.error().code != ErrorCode::not_found)
    return std::unexpected(std::move(backend).error());
  const bool stable_in_rotation =
      backend && std::ranges::any_of(backend->servers, [&](const auto& s) {
        return is_stable(s) && s.in_rotation();
      });
  const auto down = backend ? stable_down(backend->servers) : std::string();
  const bool canary_serves =
      backend && std::ranges::any_of(backend->servers, [&](const auto& s) {
        return is_canary(s) && s.in_rotation() && s.weight > 0 && s.operational != 0;
      });
  if (options_.keep_serving && canary_serves && !down.empty()) {
    const auto now = totals(backend->servers);
    Applied kept;
    kept.applied.canary = now.canary / (now.canary + now.stable);
    kept.elapsed_ms = budget.elapsed_ms();
    kept.kept = down +
                "; without the canary nobody would answer, so it keeps its weight until a "
                "stable server is up (policy.stable_down: keep)";
    return kept;
  }
  const auto weights = nearest_weights(0, 1, 1);
  std::vector<std::string> commands;
  for (const auto& name : options_.stable_servers) {
    commands.push_back(command(name, fmt::format("weight {}", weights.stable)));
    // Somebody took all of stable out: with the canary gone nothing would answer.
    if (!stable_in_rotation) commands.push_back(command(name, "state ready"));
  }
  for (const auto& name : options_.canary_servers) commands.push_back(command(name, "weight 0"));
  // What counts is what is read back: a complaint about one server must not hide that all others
  // obeyed.
  const auto complaint = socket_.run(commands, budget.deadline());
  if (backend) {
    if (const auto held = hold_sticky_clients(backend->servers, budget.deadline());
        !held && complaint)
      return std::unexpected(held.error());
  }
  auto out = read_back({0}, budget);
  if (!out && !complaint) return std::unexpected(complaint.error());
  if (out && !down.empty()) out->applied.split_cause = down + "; clients get 503";
  return out;
}

Result<Weight> ServerWeightsRouter::read() {
  const Budget budget(options_.timeout_ms);
  TRY_ASSIGN(const auto backend, ask_state(budget.deadline()));
  const auto now = totals(backend.servers);
  if (now.canary + now.stable <= 0) {
    return fail(ErrorCode::failed_precondition,
                fmt::format("no server of backend {} is in rotation with a weight; clients get 503",
                            options_.backend));
  }
  return Weight{now.canary / (now.canary + now.stable), split_cause(backend),
                no_stable_server(backend.servers)};
}

// Unlike stable_down: who asks before the traffic is moved wants no server brought back from
// maintenance for it.
std::string ServerWeightsRouter::no_stable_server(const Servers& servers) const {
  std::vector<std::string> all;
  for (const auto& s : servers) {
    if (!is_stable(s)) continue;
    if (s.in_rotation() && s.operational != 0) return "";
    all.push_back(s.name + (s.in_rotation() ? " DOWN" : " out of rotation"));
  }
  return fmt::format("no stable server is up: HAProxy reports {} in backend {}",
                     all.empty() ? "none of them" : joined(all), options_.backend);
}

Status ServerWeightsRouter::check() {
  TRY_ASSIGN(const auto backend, ask_state(Budget(options_.timeout_ms).deadline()));
  return check_servers(backend.servers, {1});
}

// Layout B: the value of one key, in 1/10000. The map's default in HAProxy's config must be 0: an
// absent key reads as weight 0.
class MapRouter final : public Router {
 public:
  MapRouter(HaproxyOptions options, RuntimeSocket socket)
      : options_(std::move(options)), socket_(std::move(socket)) {}

  std::string describe() const override {
    return fmt::format("haproxy {} map {} {}", socket_.address(), options_.map, options_.map_key);
  }
  Result<Applied> set(Weight weight) override;
  Result<Applied> panic() override {
    return set({0});
  } // one key, one command: there is nothing simpler
  Result<Weight> read() override;
  bool may_have_raised() const override { return raised_; }

 private:
  static constexpr int kWhole = 10000;

  Result<Weight> read(Deadline deadline) const;
  // "" also when HAProxy does not tell: the weight is known without it.
  std::string backends(Deadline deadline) const;

  const HaproxyOptions options_;
  const RuntimeSocket socket_;
  std::mutex changing_;
  std::atomic<bool> raised_ = false;
};

Result<Weight> MapRouter::read(Deadline deadline) const {
  TRY_ASSIGN(const auto answer,
             socket_.ask(fmt::format("get map {} {}", options_.map, options_.map_key), deadline));
  auto value = parse_map_value(answer);
  if (!value) {
    return fail(value.error().code,
                fmt::format("{} about map {}; is that its name there (\"show map\" lists them)?",
                            value.error().message, options_.map));
  }
  if (!*value) return Weight{0};
  const std::string& text = **value;
  const bool digits = !text.empty() && text.size() <= 5 &&
                      std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  const int parts = digits ? std::stoi(text) : kWhole + 1;
  if (parts > kWhole) {
    return fail(ErrorCode::failed_precondition,
                fmt::format("key {} of map {} is \"{}\", not a number from 0 to {}",
                            options_.map_key, options_.map, text, kWhole));
  }
  return Weight{static_cast<double>(parts) / kWhole};
}

std::string MapRouter::backends(Deadline deadline) const {
  return socket_.ask(std::string(kBackendsQuestion), deadline).value_or("");
}

Result<Weight> MapRouter::read() {
  const Budget budget(options_.timeout_ms);
  TRY_ASSIGN(auto out, read(budget.deadline()));
  const auto answer = backends(budget.deadline());
  out.split_cause = split_cause_of_map(options_.map_key, answer);
  out.stable_down = stable_down_of_map(options_.map_key, answer);
  return out;
}

Result<Applied> MapRouter::set(Weight weight) {
  TRY(check_share(weight));
  const int parts = static_cast<int>(std::lround(weight.canary * kWhole));
  if (std::abs(static_cast<double>(parts) / kWhole - weight.canary) >
      tolerance(options_, weight.canary)) {
    return fail(ErrorCode::failed_precondition,
                fmt::format("{:.6g}% cannot be expressed in steps of 0.01%", weight.canary * 100));
  }
  const std::lock_guard lock(changing_);
  const Budget budget(options_.timeout_ms);
  const auto target = fmt::format("map {} {} {}", options_.map, options_.map_key, parts);
  if (parts > 0) raised_ = true;
  TRY_ASSIGN(const auto answer, socket_.ask("set " + target, budget.deadline()));
  if (answer.find("not found") != std::string::npos) {
    TRY(socket_.run({"add " + target}, budget.deadline()));
  } else if (answer.find_first_not_of(" \r\n") != std::string::npos) {
    return fail(ErrorCode::failed_precondition,
                fmt::format("HAProxy on {} answers \"{}\" to \"set {}\"", socket_.address(),
                            answer.substr(0, answer.find('\n')), target));
  }
  Applied out;
  out.asked = weight;
  TRY_ASSIGN(out.applied, read(budget.deadline()));
  out.detail = fmt::format("{} = {} of {}", options_.map_key,
                           std::lround(out.applied.canary * kWhole), kWhole);
  if (std::abs(out.applied.canary - weight.canary) > tolerance(options_, weight.canary)) {
    return fail(
        ErrorCode::unavailable,
        fmt::format(
            "asked HAProxy for {:.4g}% and read back {:.4g}%; somebody else may be changing it",
            weight.canary * 100, out.applied.canary * 100));
  }
  out.elapsed_ms = budget.elapsed_ms();
  if (parts > 0) { // never of the way back
    out.applied.split_cause = split_cause_of_map(options_.map_key, backends(budget.deadline()));
  }
  return out;
}

Status check_word(std::string_view what, const std::string& word) {
  if (is_plain_word(word)) return {};
  return fail(
      ErrorCode::invalid_argument,
      fmt::format("HAProxy router: {} \"{}\" must be one word without quotes, ';' or backslash",
                  what, word));
}

Status check_server_lists(const HaproxyOptions& options) {
  TRY(check_word("backend", options.backend));
  if (options.stable_servers.empty() || options.canary_servers.empty()) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format(
            "HAProxy router: backend {} needs at least one stable and one canary server, or a map",
            options.backend));
  }
  for (const auto& name : options.stable_servers) TRY(check_word("stable server", name));
  for (const auto& name : options.canary_servers) {
    TRY(check_word("canary server", name));
    if (contains(options.stable_servers, name)) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("HAProxy router: server {} is listed both as stable and as canary", name));
    }
  }
  return {};
}

} // namespace

Result<std::unique_ptr<Router>> make_haproxy_router(HaproxyOptions options) {
  TRY_ASSIGN(auto socket, RuntimeSocket::parse(options.socket));
  if (options.timeout_ms <= 0 || !(options.tolerance >= 0)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("HAProxy router: timeout {} ms and tolerance {} must be above 0",
                            options.timeout_ms, options.tolerance));
  }
  if (!options.map.empty()) {
    TRY(check_word("map", options.map));
    TRY(check_word("map key", options.map_key));
    return std::make_unique<MapRouter>(std::move(options), std::move(socket));
  }
  TRY(check_server_lists(options));
  return std::make_unique<ServerWeightsRouter>(std::move(options), std::move(socket));
}

} // namespace coalmine::route
