// Codecs shared by both forms of a segment: attribute values, resources and exception logs. Private
// to the segment codec.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "telemetry/batch.h"

namespace coalmine::store {

using Resources = std::vector<std::shared_ptr<const Resource>>;

// Makes every later read fail.
inline void break_reader(ByteReader& r) { (void)r.raw(r.remaining() + 1); }

// Reads a count of items that take at least `each` bytes apiece.
inline std::size_t read_count(ByteReader& r, std::size_t each = 1) {
  const auto count = r.varint();
  if (count <= r.remaining() / each) return static_cast<std::size_t>(count);
  break_reader(r);
  return 0;
}

template <typename T>
void write_id(ByteWriter& w, const T& id) {
  w.raw({reinterpret_cast<const char*>(id.data()), id.size()});
}

template <typename T>
void read_id(ByteReader& r, T& id) {
  const auto bytes = r.raw(id.size());
  if (bytes.size() == id.size()) std::ranges::copy(bytes, reinterpret_cast<char*>(id.data()));
}

void write_value(ByteWriter& w, const AttributeValue& value);
AttributeValue read_value(ByteReader& r);
void write_attributes(ByteWriter& w, const Attributes& attributes);
Attributes read_attributes(ByteReader& r);
void write_resource(ByteWriter& w, const Resource& resource);
std::shared_ptr<const Resource> read_resource(ByteReader& r);
// Writes a log without its resource.
void write_log(ByteWriter& w, const LogRecord& log);
LogRecord read_log(ByteReader& r, const Resources& resources);

} // namespace coalmine::store
