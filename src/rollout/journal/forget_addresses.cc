// SPDX-License-Identifier: Apache-2.0
#include "rollout/journal/forget_addresses.h"

#include <boost/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/json_text.h"
#include "notify/target_address.h"
#include "rollout/journal/sqlite_statement.h"

namespace coalmine::rollout {
namespace {

namespace json = boost::json;

constexpr std::string_view kForgetting = "take the addresses of webhooks out of the journal";

struct OldSpec {
  std::int64_t id = 0;
  json::value spec;
};

json::array* targets_of(json::value& spec) {
  auto* object = spec.if_object();
  auto* notify = object == nullptr ? nullptr : object->if_contains("notify");
  return notify == nullptr ? nullptr : notify->if_array();
}

Result<std::vector<OldSpec>> old_specs(sqlite3* db) {
  Statement ask(db, "select id, spec from rollouts where spec like '%\"url\":%'");
  std::vector<OldSpec> out;
  for (;;) {
    TRY_ASSIGN(const bool row, ask.next(kForgetting));
    if (!row) return out;
    auto spec = parse_json(ask.text(1), "rollout spec in the journal");
    if (spec && targets_of(*spec) != nullptr) out.push_back({ask.integer(0), std::move(*spec)});
  }
}

// Replaces the URLs of the spec by addresses; the URLs are the result.
std::set<std::string> forget_in(json::value& spec) {
  std::set<std::string> urls;
  for (auto& target : *targets_of(spec)) {
    auto* object = target.if_object();
    const auto* url = object == nullptr ? nullptr : object->if_contains("url");
    if (url == nullptr || !url->is_string()) continue;
    notify::Target known;
    known.url = std::string(url->get_string());
    object->erase("url");
    (*object)["address"] = notify::shown_address(known);
    urls.insert(std::move(known.url));
  }
  return urls;
}

Status replace_everywhere(sqlite3* db, std::int64_t id, const std::string& url) {
  notify::Target target;
  target.url = url;
  const auto address = notify::shown_address(target);
  if (url.empty() || url == address) return {};
  for (const std::string_view sql :
       {"update events set text=replace(text,?,?), payload=replace(payload,?,?) where rollout_id=?",
        "update rollouts set reason=replace(reason,?,?), state=replace(state,?,?) where id=?"}) {
    Statement update(db, sql);
    for (int column = 0; column < 2; ++column)
      update.bind(std::string_view(url)).bind(std::string_view(address));
    TRY(update.bind(id).run(kForgetting));
  }
  Statement outbox(db, "update outbox set body=replace(body,?,?) where rollout_id=?");
  return outbox.bind(std::string_view(url))
      .bind(std::string_view(address))
      .bind(id)
      .run(kForgetting);
}

Status forget_all(sqlite3* db, std::vector<OldSpec>& specs) {
  for (auto& [id, spec] : specs) {
    for (const auto& url : forget_in(spec)) TRY(replace_everywhere(db, id, url));
    const auto text = json_text(spec);
    Statement update(db, "update rollouts set spec=? where id=?");
    TRY(update.bind(std::string_view(text)).bind(id).run(kForgetting));
  }
  return {};
}

Status execute(sqlite3* db, const char* sql) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return std::unexpected(sqlite_error(db, kForgetting));
}

} // namespace

Status forget_addresses(sqlite3* db) {
  TRY_ASSIGN(auto specs, old_specs(db));
  if (specs.empty()) return {};
  // Free pages and the log of writes must not keep them either.
  TRY(execute(db, "pragma secure_delete=on"));
  TRY(execute(db, "begin immediate"));
  auto status = forget_all(db, specs);
  if (status) status = execute(db, "commit");
  if (!status) {
    sqlite3_exec(db, "rollback", nullptr, nullptr, nullptr);
    return status;
  }
  TRY(execute(db, "vacuum"));
  return execute(db, "pragma wal_checkpoint(truncate)");
}

} // namespace coalmine::rollout
