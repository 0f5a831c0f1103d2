// The blocks that say what happens: `policy`, `routes`, `router` and `notify`.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/did_you_mean.h"
#include "config/config_fields.h"
#include "config/config_parts.h"
#include "config/config_values.h"
#include "route/shared_traffic.h"

namespace coalmine::config {
namespace {

void read_inconclusive(const ConfigContext& context, const YAML::Node& node,
                       rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  const auto only_pause = [&yaml](const YAML::Node& v, std::string_view value) {
    if (value != "promote" && value != "rollback") return;
    yaml.error(v, fmt::format("inconclusive: {} is not available yet", value),
               "an undecided gate can only pause and call a person: write pause");
  };
  if (!node.IsMap()) {
    const auto choice =
        yaml.choice(node, "inconclusive", {"extend", "pause", "promote", "rollback"});
    if (choice == "pause") spec.max_extends = 0;
    if (choice) only_pause(node, *choice);
    return;
  }
  auto keys = keys_of(yaml, "policy.inconclusive", spec);
  keys.push_back({"then", [&](const YAML::Node& v) {
                    if (const auto choice =
                            yaml.choice(v, "then", {"pause", "promote", "rollback"}))
                      only_pause(v, *choice);
                  }});
  yaml.map(node, "inconclusive", keys);
}

void read_no_data(const ConfigContext& context, const YAML::Node& node,
                  rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  const auto check = [&yaml](const YAML::Node& v) {
    if (yaml.choice(v, "no_data", {"pause", "rollback"}) == "rollback") {
      yaml.error(v, "no_data: rollback is not available yet",
                 "missing telemetry pauses the rollout and calls a person: write pause");
    }
  };
  if (!node.IsMap()) return check(node);
  auto keys = keys_of(yaml, "policy.no_data", spec);
  keys.push_back({"then", check});
  yaml.map(node, "no_data", keys);
}

void read_canary_silent(const ConfigContext& context, const YAML::Node& node,
                        rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  const auto& then = field_of(spec, &rollout::RolloutSpec::on_canary_silent);
  const auto action = [&](const YAML::Node& v) {
    read_field(yaml, v, then, spec, "canary_silent");
  };
  if (!node.IsMap()) return action(node);
  yaml.map(node, "canary_silent",
           {key_of(yaml, &rollout::RolloutSpec::canary_silent_grace_ms, spec), {then.key, action}});
}

// NAME or [NAME, …]; a name ending in '*' stands for every server of the backend that starts so.
std::vector<std::string> read_servers(const ConfigContext& context, const YAML::Node& node,
                                      std::string_view what) {
  auto names = context.yaml.texts(node, what);
  for (const auto& name : names) {
    const auto star = name.find('*');
    if (name.find_first_of(" ;/\n") != std::string::npos ||
        (star != std::string::npos && star + 1 != name.size())) {
      context.yaml.error(node, fmt::format("\"{}\" is not a server name of {}", name, what),
                         "write the name as in haproxy.cfg; only a trailing * is a wildcard");
    }
  }
  return names;
}

// A socket is an absolute path, or host:port.
bool usable_socket(std::string_view socket) {
  if (socket.starts_with('/')) return socket.size() > 1;
  const auto colon = socket.rfind(':');
  return colon != std::string_view::npos && colon > 0 &&
         parse_number(socket.substr(colon + 1)).has_value();
}

bool usable_word(std::string_view word) {
  return !word.empty() && word.find_first_of(" ;/\n\t*") == std::string_view::npos;
}

void check_socket(const ConfigContext& context, const YAML::Node& node, const std::string& socket) {
  if (usable_socket(socket)) return;
  context.yaml.error(
      node, fmt::format("haproxy socket \"{}\" is neither an absolute path nor host:port", socket),
      "write the path of `stats socket` in haproxy.cfg, such as /run/haproxy/admin.sock");
}

void read_haproxy_map(const ConfigContext& context, const YAML::Node& node,
                      route::HaproxyOptions& out) {
  auto& yaml = context.yaml;
  const auto word = [&yaml](std::string_view what, std::string& to) {
    return [&yaml, what, &to](const YAML::Node& v) {
      const auto text = yaml.text(v, what);
      if (text && !usable_word(*text))
        yaml.error(v, fmt::format("\"{}\" is not a name of HAProxy", *text));
      to = text.value_or("?");
    };
  };
  const YamlReader::Keys keys{
      {"socket",
       [&](const YAML::Node& v) {
         out.socket = yaml.text(v, "socket").value_or("/");
         if (out.socket != "/") check_socket(context, v, out.socket);
       }},
      {"backend", word("backend", out.backend)},
      {"stable",
       [&](const YAML::Node& v) { out.stable_servers = read_servers(context, v, "stable"); }},
      {"canary",
       [&](const YAML::Node& v) { out.canary_servers = read_servers(context, v, "canary"); }},
      {"map", [&](const YAML::Node& v) { out.map = yaml.text(v, "map").value_or("?"); }},
      {"key", word("key", out.map_key)},
      {"timeout",
       [&](const YAML::Node& v) {
         out.timeout_ms = static_cast<int>(yaml.duration(v, "timeout", 10, 60'000).value_or(2000));
       }},
      {"tolerance",
       [&](const YAML::Node& v) {
         out.tolerance = yaml.percent(v, "tolerance").value_or(out.tolerance);
       }},
  };
  if (!yaml.map(node, "haproxy", keys)) return;
  const bool by_map = !out.map.empty() || !out.map_key.empty();
  if (out.socket.empty())
    yaml.error(node, "haproxy has no socket", "add socket: /run/haproxy/admin.sock");
  if (by_map && !out.backend.empty()) {
    yaml.error(node, "haproxy has both backend and map",
               "use {socket, backend, stable, canary} or {socket, map, key}");
  } else if (by_map && (out.map.empty() || out.map_key.empty())) {
    yaml.error(node, "haproxy needs map and key together",
               "write { socket: …, map: /etc/haproxy/canary.map, key: checkout }");
  } else if (!by_map && out.backend.empty()) {
    yaml.error(node, "haproxy has neither backend nor map",
               "use {socket, backend, stable, canary} or {socket, map, key}");
  }
  if (by_map) return;
  if (out.stable_servers.empty()) out.stable_servers = {"stable*"};
  if (out.canary_servers.empty()) out.canary_servers = {"canary*"};
}

// A later router entry of the same kind changes only what it names.
route::HaproxyOptions& haproxy_of(route::RouterOptions& router) {
  auto* haproxy = std::get_if<route::HaproxyOptions>(&router);
  return haproxy == nullptr ? router.emplace<route::HaproxyOptions>() : *haproxy;
}

// haproxy:SOCKET#BACKEND
void read_haproxy_text(const ConfigContext& context, const YAML::Node& node, std::string_view rest,
                       route::RouterOptions& router) {
  const auto hash = rest.rfind('#');
  if (hash == std::string_view::npos || hash == 0 || !usable_word(rest.substr(hash + 1))) {
    context.yaml.error(
        node, fmt::format("router \"{}\" does not name a socket and a backend", node.Scalar()),
        "write haproxy:/run/haproxy/admin.sock#BACKEND");
    return;
  }
  auto& haproxy = haproxy_of(router);
  haproxy.socket = std::string(rest.substr(0, hash));
  haproxy.backend = std::string(rest.substr(hash + 1));
  haproxy.stable_servers = {"stable*"};
  haproxy.canary_servers = {"canary*"};
  check_socket(context, node, haproxy.socket);
}

constexpr std::array<std::string_view, 8> kRoutersToCome{
    "builtin", "nginx", "envoy", "kubernetes", "gateway-api", "istio", "exec", "webhook"};

void refuse_router(const ConfigContext& context, const YAML::Node& node, const std::string& name) {
  if (std::find(kRoutersToCome.begin(), kRoutersToCome.end(), name) != kRoutersToCome.end()) {
    context.yaml.error(node, fmt::format("router {} is not available yet", name),
                       "available: observe, haproxy");
    return;
  }
  const std::string close = did_you_mean(name, {"observe", "haproxy"});
  context.yaml.error(
      node,
      fmt::format("unknown router \"{}\"{}", name,
                  close.empty() ? "" : fmt::format(" - did you mean \"{}\"?", close)),
      "available: observe, haproxy");
}

std::string event_name(const std::string& written) {
  if (written == "rollback") return "rolled_back";
  if (written == "promote") return "promoted";
  if (written == "abort") return "aborted";
  if (written == "pause") return "paused";
  return written;
}

void read_events(const ConfigContext& context, const YAML::Node& node, notify::Target& notify) {
  context.yaml.items(node, "events", [&](const YAML::Node& item) {
    const auto event = context.yaml.choice(item, "an event",
                                           {"promoted", "rolled_back", "aborted", "abandoned",
                                            "paused", "promote", "rollback", "abort", "pause"});
    if (event) notify.events.push_back(event_name(*event));
  });
}

void check_url(const ConfigContext& context, const YAML::Node& node, const std::string& url) {
  if (url.starts_with("https://") || url.starts_with("http://")) return;
  context.yaml.error(node, "not an http:// or https:// URL",
                     "write https://HOST/PATH, or env:NAME or file:/path that holds one");
}

void read_notify_entry(const ConfigContext& context, const YAML::Node& node,
                       rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  notify::Target notify;
  int targets = 0;
  bool has_url = false;
  const auto url = [&](std::string_view what) {
    return [&, what](const YAML::Node& v) {
      has_url = true;
      const auto value = read_secret(context, v, what, Literal::allowed);
      if (value) check_url(context, v, *value);
      notify.url = value.value_or("");
    };
  };
  const auto to_come = [&](std::string_view name) {
    return [&, name](const YAML::Node& v) {
      ++targets;
      has_url = true;
      yaml.error(v, fmt::format("notify {} is not available yet", name),
                 "available: webhook, slack (also Mattermost and other compatible ones)");
    };
  };
  const YamlReader::Keys keys{
      {"slack",
       [&](const YAML::Node& v) {
         ++targets;
         notify.kind = notify::Target::Kind::slack;
         yaml.map(v, "slack", {{"webhook", url("slack webhook")}});
       }},
      {"webhook",
       [&](const YAML::Node& v) {
         ++targets;
         const auto secret = [&](const YAML::Node& s) {
           notify.secret = read_secret(context, s, "webhook secret", Literal::refused).value_or("");
         };
         yaml.map(v, "webhook", {{"url", url("webhook url")}, {"secret", secret}});
       }},
      {"teams", to_come("teams")},
      {"email", to_come("email")},
      {"exec", to_come("exec")},
      {"events", [&](const YAML::Node& v) { read_events(context, v, notify); }},
  };
  if (!yaml.map(node, "a notify entry", keys)) return;
  if (targets != 1) {
    yaml.error(
        node,
        targets == 0 ? "a notify entry names no target" : "a notify entry names several targets",
        "write one of slack: { webhook: env:NAME } or webhook: { url: …, secret: env:NAME }");
  } else if (!has_url) {
    yaml.error(node, "a notify target without a URL");
  }
  // Without its URL (a secret that check cannot see) there is nobody to tell.
  if (targets == 1 && !notify.url.empty()) spec.notify.push_back(std::move(notify));
}

} // namespace

void read_policy(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  const YamlReader::Keys keys{
      key_of(yaml, &rollout::RolloutSpec::on_fail, spec),
      {"inconclusive", [&](const YAML::Node& v) { read_inconclusive(context, v, spec); }},
      {"no_data", [&](const YAML::Node& v) { read_no_data(context, v, spec); }},
      {"canary_silent", [&](const YAML::Node& v) { read_canary_silent(context, v, spec); }},
      key_of(yaml, &rollout::RolloutSpec::guard_split, spec),
      key_of(yaml, &rollout::RolloutSpec::ask_about_pods, spec),
      key_of(yaml, &rollout::RolloutSpec::keep_when_stable_down, spec),
  };
  yaml.map(node, "policy", keys);
}

void read_routes(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  const YamlReader::Keys keys{
      {"ignore", [&](const YAML::Node& v) { spec.ignore_routes = yaml.texts(v, "ignore"); }},
      key_of(yaml, &rollout::RolloutSpec::min_route_requests, spec),
      {"critical",
       [&](const YAML::Node& v) {
         constexpr std::size_t kMost = 50; // each is a row of its own in every cell
         spec.critical_routes = yaml.texts(v, "critical");
         if (spec.critical_routes.size() > kMost)
           yaml.error(v, fmt::format("more than {} critical routes", kMost));
       }},
  };
  yaml.map(node, "routes", keys);
  for (const auto& route : spec.critical_routes) {
    if (std::ranges::find(spec.ignore_routes, route) == spec.ignore_routes.end()) continue;
    yaml.error(node, fmt::format("{} is both critical and ignored", route));
  }
}

void read_router(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  if (node.IsScalar()) {
    const std::string& text = node.Scalar();
    const auto colon = std::min(text.find(':'), text.size());
    const std::string name = text.substr(0, colon);
    if (text == "observe" || text == "none") {
      spec.router = {};
    } else if (name == "haproxy") {
      read_haproxy_text(context, node,
                        std::string_view(text).substr(std::min(colon + 1, text.size())),
                        spec.router);
    } else {
      refuse_router(context, node, name);
    }
    return;
  }
  if (node.IsMap() && node.size() != 1) {
    yaml.error(node, "router must name one router",
               "write router: { haproxy: { socket: …, backend: … } }");
    return;
  }
  yaml.entries(node, "router",
               [&](const std::string& name, const YAML::Node& key, const YAML::Node& value) {
                 if (name != "haproxy") return refuse_router(context, key, name);
                 read_haproxy_map(context, value, haproxy_of(spec.router));
               });
  if (const auto both = route::server_of_both(spec.router)) {
    yaml.error(node, *both, "each server belongs to one track; name them apart");
  }
}

void read_notify(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec) {
  context.yaml.items(node, "notify",
                     [&](const YAML::Node& item) { read_notify_entry(context, item, spec); });
}

} // namespace coalmine::config
