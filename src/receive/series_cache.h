// A cache of decoded resources, metrics and series. They are looked up by the bytes that describe
// them, so that an export that repeats known ones decodes no attribute and builds no label.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "receive/metric_name.h"
#include "telemetry/batch.h"

namespace coalmine::receive {

// The fields of a Metric message that apply to all its points.
struct MetricHead {
  std::string name;
  std::string unit;
  std::string help;
  Instrument instrument = Instrument::gauge;
  std::optional<Temporality> temporality; // nullopt: unspecified, where the instrument needs one
};

// 128 bits of XXH3 over the describing bytes. The seed is the process's own, so that nobody can
// prepare two series of one key.
struct ByteKey {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const ByteKey&) const = default;
};
struct ByteKeyHash {
  std::size_t operator()(const ByteKey& key) const noexcept {
    return static_cast<std::size_t>(key.low);
  }
};
// key extended by more bytes. The boundary between the parts matters: it is part of the new key.
ByteKey operator+(const ByteKey& key, std::string_view bytes);

// A metric as its head says, and its Prometheus name ("" when it has none).
struct KnownMetric {
  MetricHead head;
  std::string name;
  DescriptionRef description; // the part of the head that its series carry
};

// The series of one resource by key. A process sends its series in the same order again and again,
// so the successor of the last one found is tried before a search.
class KnownSeries {
 public:
  // nullptr: not known. Good until add.
  const std::shared_ptr<const MetricSeries>* find(const ByteKey& key) {
    if (next_ >= in_order_.size() || in_order_[next_].key != key) {
      const auto it = places_.find(key);
      if (it == places_.end()) return nullptr;
      next_ = it->second;
    }
    return &in_order_[next_++].series;
  }
  // False when the key is there already.
  bool add(const ByteKey& key, std::shared_ptr<const MetricSeries> series) {
    if (!places_.try_emplace(key, static_cast<std::uint32_t>(in_order_.size())).second)
      return false;
    in_order_.push_back({key, std::move(series)});
    next_ = in_order_.size();
    return true;
  }

 private:
  struct Entry {
    ByteKey key;
    std::shared_ptr<const MetricSeries> series;
  };
  std::vector<Entry> in_order_; // in the order first met
  boost::unordered_flat_map<ByteKey, std::uint32_t, ByteKeyHash> places_;
  std::size_t next_ = 0;
};

// Everything known below one resource. Its user holds mutex.
struct KnownResource {
  std::mutex mutex;
  std::shared_ptr<const Resource> resource;
  std::unordered_map<ByteKey, std::shared_ptr<const KnownMetric>, ByteKeyHash> metrics;
  KnownSeries series;
  std::atomic<std::size_t> entries{1}; // itself, its metrics and its series
};

// Thread-safe. Bounded: entries that were not used while the cache filled up once are forgotten,
// and once an hour all are, so that processes that have ended are held no longer than that.
class SeriesCache {
 public:
  explicit SeriesCache(std::size_t max_entries = kMaxEntries);

  // Where a key starts.
  ByteKey seed() const { return seed_; }

  // To be called with every request. now_ms: steady.
  void forget_now_and_then(std::int64_t now_ms);

  // nullptr: not known. The entry's resource is set.
  std::shared_ptr<KnownResource> find(const ByteKey& key);
  std::shared_ptr<KnownResource> add(const ByteKey& key, std::shared_ptr<const Resource> resource);
  // To be called for every metric and series that is added to an entry.
  void count(KnownResource& entry) {
    ++entry.entries;
    ++entries_;
  }

  // The bounds that a histogram point's packed doubles encode: one object for all who send the
  // same. nullptr: not known.
  BucketBounds bounds(std::string_view packed) const;
  // The one object for these bounds from now on.
  BucketBounds add_bounds(std::string_view packed, BucketBounds bounds);

  static constexpr std::size_t kMaxEntries = 2'000'000;
  static constexpr std::size_t kMaxBounds = 1024;
  static constexpr std::int64_t kForgetMs = 3600 * 1000;

 private:
  using Resources = std::unordered_map<ByteKey, std::shared_ptr<KnownResource>, ByteKeyHash>;

  const std::size_t max_entries_;
  const ByteKey seed_;
  std::atomic<std::size_t> entries_{0};
  std::mutex mutex_;
  std::int64_t forgot_ms_ = 0; // steady; 0: the first hour has not begun
  Resources young_;            // used since the last turn
  Resources old_;
  mutable std::mutex bounds_mutex_;
  std::unordered_map<std::string, BucketBounds> bounds_;
};

} // namespace coalmine::receive
