// Spans of one protobuf payload into a table, without copying texts that occurred before.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "telemetry/span_table.h"

namespace coalmine::receive {

// Remembers attributes by their bytes as sent: first the one at the same place of the previous span
// (libraries write the same keys in the same order), then all of the payload. One thread, one
// payload, whose bytes outlive it.
class SpanCollector {
 public:
  SpanTableBuilder& table() { return table_; }

  // A span begins, or one of its events.
  void begin_list() { list_.clear(); }
  std::size_t list_size() const { return list_.size(); }
  // Adds the attribute with these bytes if it occurred before; else false.
  bool add_known(std::string_view bytes);
  // Adds a new attribute. keep: the same bytes stand for it from now on.
  void add(std::string_view bytes, std::string_view raw_key, std::uint32_t key,
           AttributeValue value, bool keep);
  // Adds an attribute of the table that was not sent with the span.
  void add(std::uint32_t pair);
  // The text of the key at this place of the list, if the previous span had the same key there.
  std::optional<std::uint32_t> key_before(std::string_view raw_key) const;
  SpanTable::List end_list();

  // The list of a span is kept aside while those of its events are put together.
  std::vector<std::uint32_t> set_aside() { return std::exchange(list_, {}); }
  void bring_back(std::vector<std::uint32_t> list) { list_ = std::move(list); }

  // Where the table ended before a span; back_to() removes a rejected one.
  struct Mark {
    std::size_t pair_ids = 0;
    std::size_t events = 0;
  };
  Mark mark() { return {table_.table().pair_ids.size(), table_.table().events.size()}; }
  void back_to(const Mark& mark) {
    table_.table().pair_ids.resize(mark.pair_ids);
    table_.table().events.resize(mark.events);
  }

 private:
  struct Known {
    std::string_view bytes;
    std::uint32_t pair = 0;
  };
  struct Place {
    std::string_view bytes;
    std::string_view raw_key;
    std::uint32_t key = 0;
    std::uint32_t pair = 0;
  };
  void put(std::string_view bytes, std::uint32_t pair);

  SpanTableBuilder table_;
  std::vector<std::uint32_t> list_; // pairs
  std::vector<Place> places_;       // of the previous span
  boost::unordered_flat_map<std::uint64_t, Known> known_;
};

} // namespace coalmine::receive
