// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/presence_book.h"

#include <algorithm>
#include <set>

#include "base/bytes.h"

namespace coalmine::store {
namespace {

constexpr std::uint8_t kVersion = 1;

void extend(Presence& presence, std::int64_t from_ms, std::int64_t to_ms) {
  if (presence.first_ms == 0 || from_ms < presence.first_ms) presence.first_ms = from_ms;
  presence.last_ms = std::max(presence.last_ms, to_ms);
}

} // namespace

std::string presence_key(const Resource& resource) {
  std::string out;
  ByteWriter w(out);
  for (const auto* part : {&resource.service, &resource.track, &resource.version,
                           &resource.instance, &resource.environment})
    w.text(*part);
  return out;
}

std::string encode_presence(const PresenceRow& row) {
  std::string out;
  ByteWriter w(out);
  const auto& p = row.presence;
  w.u8(kVersion);
  for (const auto* text : {&p.service, &p.track, &p.version, &p.instance, &p.environment})
    w.text(*text);
  for (const auto number : {p.first_ms, p.last_ms, p.export_interval_ms, row.last_export_ms})
    w.zigzag(number);
  return out;
}

Result<PresenceRow> decode_presence(std::string_view bytes) {
  ByteReader r(bytes);
  PresenceRow row;
  auto& p = row.presence;
  const auto version = r.u8();
  for (auto* text : {&p.service, &p.track, &p.version, &p.instance, &p.environment})
    *text = r.text();
  for (auto* number : {&p.first_ms, &p.last_ms, &p.export_interval_ms, &row.last_export_ms})
    *number = r.zigzag();
  if (!r.ok() || !r.done() || version != kVersion)
    return fail(ErrorCode::data_loss, "a presence row is damaged");
  return row;
}

PresenceBook::Draft::Seen& PresenceBook::Draft::seen(const Resource& resource) {
  if (&resource == before_) return *before_seen_;
  const auto key = presence_key(resource);
  auto it = seen_.find(key);
  if (it == seen_.end()) {
    Seen fresh;
    if (const auto known = book_.rows_.find(key); known != book_.rows_.end()) {
      fresh.row = known->second;
    } else {
      fresh.row.presence = {resource.service,
                            resource.track,
                            resource.version,
                            resource.instance,
                            resource.environment,
                            0,
                            0,
                            0,
                            0};
    }
    fresh.row.presence.last_arrival_ms = now_ms_;
    it = seen_.emplace(key, std::move(fresh)).first;
  }
  before_ = &resource;
  before_seen_ = &it->second;
  return it->second;
}

void PresenceBook::Draft::see_point(const Resource& resource, std::int64_t time_ms) {
  auto& entry = seen(resource);
  extend(entry.row.presence, time_ms, time_ms);
  entry.newest_point_ms = std::max(entry.newest_point_ms, time_ms);
  entry.row.export_arrival_ms = now_ms_;
}

void PresenceBook::Draft::see_span(const Resource& resource, std::int64_t start_ms,
                                   std::int64_t end_ms) {
  extend(seen(resource).row.presence, start_ms, std::max(start_ms, end_ms));
}

std::map<std::string, PresenceRow> PresenceBook::Draft::finish() {
  std::map<std::string, PresenceRow> out;
  for (auto& [key, entry] : seen_) {
    auto& row = entry.row;
    if (entry.newest_point_ms > row.last_export_ms) {
      const std::int64_t gap = entry.newest_point_ms - row.last_export_ms;
      if (row.last_export_ms != 0 && gap <= kLongestInterval) {
        row.presence.export_interval_ms = std::max(row.presence.export_interval_ms, gap);
      }
      row.last_export_ms = entry.newest_point_ms;
    }
    out.emplace(key, std::move(row));
  }
  return out;
}

std::vector<Presence> PresenceBook::all() const {
  std::vector<Presence> out;
  out.reserve(rows_.size());
  for (const auto& [key, row] : rows_) out.push_back(row.presence);
  return out;
}

std::vector<std::string> PresenceBook::older_than(std::int64_t time_ms) const {
  std::vector<std::string> out;
  for (const auto& [key, row] : rows_) {
    if (row.presence.last_ms < time_ms) out.push_back(key);
  }
  return out;
}

void PresenceBook::erase(const std::vector<std::string>& keys) {
  if (keys.empty()) return;
  for (const auto& key : keys) rows_.erase(key);
  std::map<std::string_view, std::set<std::string_view>> left;
  for (const auto& [key, row] : rows_) left[row.presence.service].insert(row.presence.version);
  std::erase_if(arrivals_, [&](const auto& service) { return !left.contains(service.first); });
  for (auto& [service, versions] : arrivals_) {
    const auto& alive = left.at(service);
    std::erase_if(versions, [&](const auto& version) {
      return !version.first.empty() && !alive.contains(version.first);
    });
  }
}

void PresenceBook::count_arrival(std::string_view service, std::string_view version) {
  arrivals_[std::string(service)][std::string(version)] = ++newest_arrival_;
}

std::uint64_t PresenceBook::arrivals(std::string_view service, std::string_view version) const {
  const auto versions = arrivals_.find(service);
  if (versions == arrivals_.end()) return 0;
  const auto it = versions->second.find(version);
  return it == versions->second.end() ? 0 : it->second;
}

} // namespace coalmine::store
