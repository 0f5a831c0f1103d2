// SPDX-License-Identifier: Apache-2.0
#include "route/haproxy_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <map>

#include "base/text.h"

namespace coalmine::route {
namespace {

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto end = text.find('\n');
    auto line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.empty()) out.push_back(line);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> out;
  std::size_t at = 0;
  while ((at = line.find_first_not_of(' ', at)) != std::string_view::npos) {
    const auto end = std::min(line.find(' ', at), line.size());
    out.emplace_back(line.substr(at, end - at));
    at = end;
  }
  return out;
}

// One line of CSV; a quoted field may hold commas and doubled quotes (check results do).
std::vector<std::string> csv_of(std::string_view line) {
  std::vector<std::string> out(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

int to_int(const std::string& text) {
  int out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

// A row whose fields are found by the names in the header line.
class Table {
 public:
  void header(const std::vector<std::string>& names) {
    columns_.clear();
    for (std::size_t i = 0; i < names.size(); ++i) columns_.emplace(names[i], i);
  }
  std::string field(const std::vector<std::string>& row, const std::string& name) const {
    const auto it = columns_.find(name);
    return it == columns_.end() || it->second >= row.size() ? std::string() : row[it->second];
  }

 private:
  std::map<std::string, std::size_t> columns_;
};

} // namespace

std::string state_question(const std::string& backend) {
  return fmt::format("show servers state {}; show stat {} 6 -1", backend,
                     backend); // 6: servers and the backend itself; -1: all of them
}

std::string parse_algorithm(const std::string& backend, std::string_view answer) {
  Table table;
  bool stat = false;
  for (const auto line : lines_of(answer)) {
    if (line.starts_with("# pxname,")) {
      table.header(csv_of(line.substr(2)));
      stat = true;
    } else if (stat) {
      const auto row = csv_of(line);
      if (table.field(row, "pxname") == backend && table.field(row, "svname") == "BACKEND")
        return table.field(row, "algo");
    }
  }
  return "";
}

std::string split_cause_of(const std::string& backend, const std::vector<ServerState>& servers,
                           const std::string& algorithm) {
  static constexpr std::array<std::string_view, 3> kByWeight = {"roundrobin", "static-rr",
                                                                "random"};
  std::vector<std::string> down;
  for (const auto& s : servers) {
    if (s.in_rotation() && s.weight > 0 && s.operational == 0) down.push_back(s.name);
  }
  std::string out;
  if (!down.empty()) {
    out = fmt::format("HAProxy reports server{} {} of backend {} DOWN and gives {} share to others",
                      down.size() == 1 ? "" : "s", fmt::join(down, ", "), backend,
                      down.size() == 1 ? "its" : "their");
  }
  if (!algorithm.empty() && std::ranges::find(kByWeight, algorithm) == kByWeight.end()) {
    out += fmt::format(
        "{}backend {} has `balance {}`, whose shares of requests are not those of "
        "the weights; use `balance roundrobin`",
        out.empty() ? "" : ", and ", backend, algorithm);
  }
  return out;
}

namespace {

// One of the two that split the traffic of a map.
struct MapBackend {
  std::string name;
  bool canary = false;
  bool down = false;
};

std::vector<MapBackend> backends_of_map(const std::string& key, std::string_view answer) {
  Table table;
  std::vector<MapBackend> ours;
  for (const auto line : lines_of(answer)) {
    if (line.starts_with("# pxname,")) {
      table.header(csv_of(line.substr(2)));
      continue;
    }
    const auto row = csv_of(line);
    if (table.field(row, "svname") != "BACKEND") continue;
    MapBackend one{.name = table.field(row, "pxname"),
                   .canary = false,
                   .down = table.field(row, "status").starts_with("DOWN")};
    const auto name = ascii_lower(std::string_view(one.name));
    one.canary = name.find("canary") != std::string::npos;
    if (one.canary || name.find("stable") != std::string::npos) ours.push_back(std::move(one));
  }
  const auto has_key = [&](const MapBackend& b) {
    return ascii_lower(std::string_view(b.name)).find(ascii_lower(std::string_view(key))) !=
           std::string::npos;
  };
  if (std::ranges::any_of(ours, has_key)) std::erase_if(ours, std::not_fn(has_key));
  const auto canaries = std::ranges::count(ours, true, &MapBackend::canary);
  if (canaries > 1 || std::ssize(ours) - canaries > 1) ours.clear(); // whose they are is not known
  return ours;
}

} // namespace

std::string split_cause_of_map(const std::string& key, std::string_view answer) {
  std::vector<std::string> down;
  for (const auto& b : backends_of_map(key, answer)) {
    if (b.down) down.push_back(b.name);
  }
  if (down.empty()) return "";
  return fmt::format("HAProxy reports backend{} {} DOWN, no server of {} is up",
                     down.size() == 1 ? "" : "s", fmt::join(down, " and "),
                     down.size() == 1 ? "it" : "them");
}

std::string stable_down_of_map(const std::string& key, std::string_view answer) {
  for (const auto& b : backends_of_map(key, answer)) {
    if (!b.canary && b.down)
      return fmt::format("no stable server is up: HAProxy reports backend {} DOWN", b.name);
  }
  return "";
}

Result<std::vector<ServerState>> parse_state(const std::string& backend, std::string_view answer) {
  std::vector<ServerState> out;
  Table table;
  enum class Part { before, state, stat } part = Part::before;
  for (const auto line : lines_of(answer)) {
    if (line.starts_with("# be_id ")) {
      table.header(words_of(line.substr(2)));
      part = Part::state;
    } else if (line.starts_with("# pxname,")) {
      table.header(csv_of(line.substr(2)));
      part = Part::stat;
    } else if (part == Part::state) {
      const auto row = words_of(line);
      ServerState server;
      server.name = table.field(row, "srv_name");
      server.weight = to_int(table.field(row, "srv_uweight"));
      server.admin = static_cast<unsigned>(to_int(table.field(row, "srv_admin_state")));
      server.operational = to_int(table.field(row, "srv_op_state"));
      if (!server.name.empty() && table.field(row, "be_name") == backend)
        out.push_back(std::move(server));
    } else if (part == Part::stat) {
      const auto row = csv_of(line);
      const auto it = std::ranges::find(out, table.field(row, "svname"), &ServerState::name);
      if (it == out.end() || table.field(row, "pxname") != backend) continue;
      it->backup = table.field(row, "bck") == "1";
      it->cookie = !table.field(row, "cookie").empty();
    } else if (line != "1") { // the version of the state format
      return fail(ErrorCode::not_found,
                  fmt::format("HAProxy answers \"{}\" about backend {}; is that its name there?",
                              line, backend));
    }
  }
  if (part == Part::before || out.empty()) {
    return fail(
        ErrorCode::not_found,
        fmt::format("HAProxy lists no server in backend {}; is that its name there?", backend));
  }
  return out;
}

bool has_stick_table(const std::string& backend, std::string_view answer) {
  return std::ranges::any_of(lines_of(answer), [&](std::string_view line) {
    return line.starts_with("# table: " + backend + ",");
  });
}

Result<std::optional<std::string>> parse_map_value(std::string_view answer) {
  if (answer.find("found=no") != std::string_view::npos) return std::optional<std::string>();
  static constexpr std::string_view kValue = "value=\"";
  const auto at = answer.find(kValue);
  if (answer.find("found=yes") == std::string_view::npos || at == std::string_view::npos) {
    const auto lines = lines_of(answer);
    return fail(
        ErrorCode::not_found,
        fmt::format("HAProxy answers \"{}\"", lines.empty() ? std::string_view() : lines.front()));
  }
  const auto rest = answer.substr(at + kValue.size());
  return std::optional<std::string>(std::string(rest.substr(0, rest.find('"'))));
}

} // namespace coalmine::route
