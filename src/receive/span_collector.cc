// SPDX-License-Identifier: Apache-2.0
#include "receive/span_collector.h"

#include <xxhash.h>

#include <utility>

namespace coalmine::receive {

bool SpanCollector::add_known(std::string_view bytes) {
  const std::size_t at = list_.size();
  if (at < places_.size() && places_[at].bytes == bytes) {
    list_.push_back(places_[at].pair);
    return true;
  }
  const auto it = known_.find(XXH3_64bits(bytes.data(), bytes.size()));
  if (it == known_.end() || it->second.bytes != bytes) return false;
  put(bytes, it->second.pair);
  return true;
}

std::optional<std::uint32_t> SpanCollector::key_before(std::string_view raw_key) const {
  const std::size_t at = list_.size();
  if (at < places_.size() && !raw_key.empty() && places_[at].raw_key == raw_key)
    return places_[at].key;
  return std::nullopt;
}

void SpanCollector::add(std::string_view bytes, std::string_view raw_key, std::uint32_t key,
                        AttributeValue value, bool keep) {
  auto& pairs = table_.table().pairs;
  const auto pair = static_cast<std::uint32_t>(pairs.size());
  pairs.push_back({key, std::move(value)});
  const std::size_t at = list_.size();
  if (places_.size() <= at) places_.resize(at + 1);
  if (!keep) {
    places_[at] = {};
    list_.push_back(pair);
    return;
  }
  known_.try_emplace(XXH3_64bits(bytes.data(), bytes.size()), Known{bytes, pair});
  places_[at] = {bytes, raw_key, key, pair};
  list_.push_back(pair);
}

void SpanCollector::add(std::uint32_t pair) {
  if (list_.size() < places_.size()) places_[list_.size()] = {};
  list_.push_back(pair);
}

void SpanCollector::put(std::string_view bytes, std::uint32_t pair) {
  const std::size_t at = list_.size();
  if (places_.size() <= at) places_.resize(at + 1);
  // These bytes have the pair's key, but its position in them is not known here. So the key's own
  // bytes are forgotten.
  if (table_.table().pairs[pair].key != places_[at].key) places_[at].raw_key = {};
  places_[at].key = table_.table().pairs[pair].key;
  places_[at].bytes = bytes;
  places_[at].pair = pair;
  list_.push_back(pair);
}

SpanTable::List SpanCollector::end_list() {
  auto& ids = table_.table().pair_ids;
  const SpanTable::List out{static_cast<std::uint32_t>(ids.size()),
                            static_cast<std::uint32_t>(list_.size())};
  ids.insert(ids.end(), list_.begin(), list_.end());
  list_.clear();
  return out;
}

} // namespace coalmine::receive
