// Records which instances have reported, since when, and how often.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "telemetry/presence.h"
#include "telemetry/resource.h"

namespace coalmine::store {

// A longer gap between two exports is an outage and not used to measure the interval.
inline constexpr std::int64_t kLongestInterval = 10 * 60 * 1000;

// presence = %x01 service:text track:text version:text instance:text environment:text
//            first_ms:zigzag last_ms:zigzag interval_ms:zigzag last_export_ms:zigzag
struct PresenceRow {
  Presence presence;
  std::int64_t last_export_ms = 0; // newest metric point
  // When the newest metric point came in, by the server's clock; 0: not since the start. Not part
  // of the row on disk.
  std::int64_t export_arrival_ms = 0;
};
std::string encode_presence(const PresenceRow& row);
Result<PresenceRow> decode_presence(std::string_view bytes);

// Changed only while both Locks::write and Locks::state are held.
class PresenceBook {
 public:
  // The changes of one batch. They take effect only with set().
  class Draft {
   public:
    // now_ms: of the arrival.
    Draft(const PresenceBook& book, std::int64_t now_ms) : book_(book), now_ms_(now_ms) {}
    void see_point(const Resource& resource, std::int64_t time_ms);
    void see_span(const Resource& resource, std::int64_t start_ms, std::int64_t end_ms);
    // The new rows, by key.
    std::map<std::string, PresenceRow> finish();

   private:
    struct Seen {
      PresenceRow row;
      std::int64_t newest_point_ms = 0;
    };
    Seen& seen(const Resource& resource);
    const PresenceBook& book_;
    const std::int64_t now_ms_;
    std::map<std::string, Seen> seen_;
    const Resource* before_ = nullptr;
    Seen* before_seen_ = nullptr;
  };

  void set(const std::string& key, PresenceRow row) { rows_[key] = std::move(row); }
  const std::map<std::string, PresenceRow>& rows() const { return rows_; }
  std::vector<Presence> all() const;
  std::vector<std::string> older_than(std::int64_t time_ms) const;
  // Also forgets the arrivals of versions and services that no row is left of.
  void erase(const std::vector<std::string>& keys);

  // A number that grows whenever telemetry of a service, or of one version of it, arrives; 0: none
  // has since the start, or none for as long as rows are kept. version "": of any version.
  void count_arrival(std::string_view service, std::string_view version);
  std::uint64_t arrivals(std::string_view service, std::string_view version) const;

 private:
  std::map<std::string, PresenceRow> rows_;
  using ByVersion = std::map<std::string, std::uint64_t, std::less<>>; // "": of all
  std::map<std::string, ByVersion, std::less<>> arrivals_;             // by service
  std::uint64_t newest_arrival_ = 0; // of all: whoever comes back gets a number it never had
};

std::string presence_key(const Resource& resource);

} // namespace coalmine::store
