// SPDX-License-Identifier: Apache-2.0
#include "receive/series_cache.h"

#include <xxhash.h>

#include <bit>
#include <random>

namespace coalmine::receive {
namespace {

ByteKey random_key() {
  std::random_device device;
  const auto word = [&] { return (static_cast<std::uint64_t>(device()) << 32) | device(); };
  return {word(), word()};
}

} // namespace

ByteKey operator+(const ByteKey& key, std::string_view bytes) {
  const auto hash =
      XXH3_128bits_withSeed(bytes.data(), bytes.size(), key.low ^ std::rotl(key.high, 23));
  // The length and both halves go on, so that no part of the chain can be undone by a later one.
  return {hash.low64 + key.high + bytes.size(), hash.high64 ^ std::rotl(key.low, 31)};
}

SeriesCache::SeriesCache(std::size_t max_entries)
    : max_entries_(max_entries), seed_(random_key()) {}

void SeriesCache::forget_now_and_then(std::int64_t now_ms) {
  Resources young, old; // freed outside the lock
  std::lock_guard lock(mutex_);
  if (forgot_ms_ == 0) forgot_ms_ = now_ms;
  if (now_ms - forgot_ms_ < kForgetMs) return;
  forgot_ms_ = now_ms;
  young.swap(young_);
  old.swap(old_);
  entries_ = 0;
}

std::shared_ptr<KnownResource> SeriesCache::find(const ByteKey& key) {
  std::lock_guard lock(mutex_);
  if (const auto it = young_.find(key); it != young_.end()) return it->second;
  const auto it = old_.find(key);
  if (it == old_.end()) return nullptr;
  auto found = std::move(it->second);
  old_.erase(it);
  entries_ += found->entries;
  young_.emplace(key, found);
  return found;
}

std::shared_ptr<KnownResource> SeriesCache::add(const ByteKey& key,
                                                std::shared_ptr<const Resource> resource) {
  auto made = std::make_shared<KnownResource>();
  made->resource = std::move(resource);
  std::lock_guard lock(mutex_);
  if (entries_ > max_entries_ / 2) {
    old_ = std::move(young_);
    young_.clear();
    entries_ = 0;
  }
  ++entries_;
  return young_.try_emplace(key, std::move(made)).first->second;
}

BucketBounds SeriesCache::bounds(std::string_view packed) const {
  std::lock_guard lock(bounds_mutex_);
  const auto it = bounds_.find(std::string(packed));
  return it == bounds_.end() ? nullptr : it->second;
}

BucketBounds SeriesCache::add_bounds(std::string_view packed, BucketBounds bounds) {
  std::lock_guard lock(bounds_mutex_);
  if (bounds_.size() >= kMaxBounds) bounds_.clear();
  return bounds_.try_emplace(std::string(packed), std::move(bounds)).first->second;
}

} // namespace coalmine::receive
