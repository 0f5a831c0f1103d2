// SPDX-License-Identifier: Apache-2.0
#include "store/spans/span_columns.h"

#include <cstring>
#include <map>
#include <unordered_map>
#include <utility>

namespace coalmine::store {
namespace {

constexpr std::uint32_t kNone = UINT32_MAX;
constexpr std::size_t kRowLeast = 16 + 8; // bytes that each row takes at least: its ids

// Lists of attributes are grouped by shape, which is the sequence of their keys, and written column
// by column inside a shape. A value is written as 0 at its first use under its key, later as 1 +
// its number among the key's values.
class ListWriter {
 public:
  explicit ListWriter(const SpanTable& table)
      : table_(table),
        key_number_(table.texts.size(), kNone),
        value_number_(table.pairs.size(), kNone) {}

  // Adds a list and returns the number of its shape.
  std::uint32_t add(const SpanTable::List& list) {
    if (!before_matches(list)) {
      scratch_.clear();
      for (const auto id : table_.list(list)) scratch_.push_back(key(table_.pairs[id].key));
      const auto [it, added] =
          shapes_by_keys_.try_emplace(scratch_, static_cast<std::uint32_t>(shapes_.size()));
      if (added) shapes_.push_back({scratch_, {}});
      before_ = it->second;
    }
    shapes_[before_].lists.push_back(list);
    return before_;
  }

  void write(std::string& out) {
    std::string columns;
    ByteWriter column(columns);
    for (const auto& shape : shapes_) {
      for (std::uint32_t at = 0; at < shape.keys.size(); ++at) {
        auto& values = keys_[shape.keys[at]].values;
        for (const auto& list : shape.lists) {
          const auto id = table_.pair_ids[list.begin + at];
          if (value_number_[id] == kNone) {
            value_number_[id] = static_cast<std::uint32_t>(values.size());
            values.push_back(id);
            column.varint(0);
          } else {
            column.varint(std::uint64_t{value_number_[id]} + 1);
          }
        }
      }
    }
    ByteWriter w(out);
    w.varint(keys_.size());
    for (const auto& key : keys_) write_dictionary(out, key);
    w.varint(shapes_.size());
    for (const auto& shape : shapes_) {
      w.varint(shape.keys.size());
      for (const auto k : shape.keys) w.varint(k);
    }
    w.raw(columns);
  }

 private:
  struct Key {
    std::uint32_t text = 0;
    std::vector<std::uint32_t> values; // pair ids, in the order of their numbers
  };
  struct Shape {
    std::vector<std::uint32_t> keys;
    std::vector<SpanTable::List> lists;
  };

  std::uint32_t key(std::uint32_t text) {
    if (key_number_[text] == kNone) {
      key_number_[text] = static_cast<std::uint32_t>(keys_.size());
      keys_.push_back({text, {}});
    }
    return key_number_[text];
  }

  bool before_matches(const SpanTable::List& list) const {
    if (shapes_.empty() || shapes_[before_].keys.size() != list.size) return false;
    const auto& keys = shapes_[before_].keys;
    for (std::uint32_t i = 0; i < list.size; ++i) {
      if (key_number_[table_.pairs[table_.pair_ids[list.begin + i]].key] != keys[i]) return false;
    }
    return true;
  }

  // Types, then text lengths, then numbers, then text bytes: similar bytes together compress
  // better.
  void write_dictionary(std::string& out, const Key& key) const {
    std::string lengths;
    std::string numbers;
    ByteWriter w(out);
    ByteWriter length(lengths);
    ByteWriter number(numbers);
    w.varint(key.text);
    w.varint(key.values.size());
    for (const auto id : key.values)
      w.u8(static_cast<std::uint8_t>(table_.pairs[id].value.index()));
    for (const auto id : key.values) {
      const auto& value = table_.pairs[id].value;
      if (const auto* text = text_of(value)) {
        length.varint(text->size());
      } else if (const auto* flag = std::get_if<bool>(&value)) {
        number.u8(*flag ? 1 : 0);
      } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
        number.zigzag(*whole);
      } else if (const auto* real = std::get_if<double>(&value)) {
        number.f64(*real);
      }
    }
    w.raw(lengths);
    w.raw(numbers);
    for (const auto id : key.values) {
      if (const auto* text = text_of(table_.pairs[id].value)) w.raw(*text);
    }
  }

  static const std::string* text_of(const AttributeValue& value) {
    if (const auto* text = std::get_if<std::string>(&value)) return text;
    if (const auto* raw = std::get_if<Bytes>(&value)) return &raw->raw;
    if (const auto* json = std::get_if<JsonText>(&value)) return &json->text;
    return nullptr;
  }

  const SpanTable& table_;
  std::vector<std::uint32_t> key_number_;   // by text
  std::vector<std::uint32_t> value_number_; // by pair, among those of its key
  std::vector<Key> keys_;
  std::vector<Shape> shapes_;
  std::map<std::vector<std::uint32_t>, std::uint32_t> shapes_by_keys_;
  std::vector<std::uint32_t> scratch_;
  std::uint32_t before_ = 0;
};

AttributeValue empty_value(std::uint8_t type) {
  switch (type) {
    case 1: return std::string();
    case 2: return false;
    case 3: return std::int64_t{0};
    case 4: return 0.0;
    case 5: return Bytes{};
    case 6: return JsonText{};
    default: return std::monostate{};
  }
}

void read_dictionary(ByteReader& r, SpanTable& table) {
  const auto text = r.varint();
  const auto count = read_count(r);
  const auto types = r.raw(count);
  if (!r.ok() || text >= table.texts.size()) return break_reader(r);
  std::vector<std::size_t> lengths;
  for (const char type : types) {
    if (type < 0 || type > 6) return break_reader(r);
    if (type == 1 || type == 5 || type == 6) lengths.push_back(r.varint());
  }
  const std::size_t first = table.pairs.size();
  for (const char type : types) {
    auto value = empty_value(static_cast<std::uint8_t>(type));
    if (auto* flag = std::get_if<bool>(&value)) *flag = r.u8() != 0;
    if (auto* whole = std::get_if<std::int64_t>(&value)) *whole = r.zigzag();
    if (auto* real = std::get_if<double>(&value)) *real = r.f64();
    table.pairs.push_back({static_cast<std::uint32_t>(text), std::move(value)});
  }
  std::size_t at = 0;
  for (std::size_t i = first; i < table.pairs.size(); ++i) {
    auto& value = table.pairs[i].value;
    std::string* to = std::get_if<std::string>(&value);
    if (auto* raw = std::get_if<Bytes>(&value)) to = &raw->raw;
    if (auto* json = std::get_if<JsonText>(&value)) to = &json->text;
    if (to != nullptr) *to = r.raw(lengths[at++]);
  }
}

// Reads all lists of a table, in the order in which they were added.
void read_lists(ByteReader& r, SpanTable& table, std::vector<SpanTable::List*>& lists,
                const std::vector<std::uint32_t>& shape_of) {
  std::vector<std::uint32_t> first; // the first pair of each key
  const auto keys = read_count(r);
  for (std::size_t i = 0; i < keys && r.ok(); ++i) {
    first.push_back(static_cast<std::uint32_t>(table.pairs.size()));
    read_dictionary(r, table);
  }
  first.push_back(static_cast<std::uint32_t>(table.pairs.size()));
  std::vector<std::vector<std::uint32_t>> shapes(read_count(r));
  for (auto& shape : shapes) {
    shape.resize(read_count(r));
    for (auto& key : shape) {
      key = static_cast<std::uint32_t>(r.varint());
      if (key >= keys) return break_reader(r);
    }
  }
  std::vector<std::vector<SpanTable::List*>> by_shape(shapes.size());
  std::size_t total = 0;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    if (shape_of[i] >= shapes.size()) return break_reader(r);
    lists[i]->begin = static_cast<std::uint32_t>(total);
    lists[i]->size = static_cast<std::uint32_t>(shapes[shape_of[i]].size());
    total += lists[i]->size;
    by_shape[shape_of[i]].push_back(lists[i]);
  }
  if (!r.ok() || total > r.remaining()) return break_reader(r); // each entry takes a byte
  table.pair_ids.resize(total);
  std::vector<std::uint32_t> next(first.begin(), first.end() - 1);
  for (std::size_t s = 0; s < shapes.size(); ++s) {
    for (std::uint32_t at = 0; at < shapes[s].size(); ++at) {
      const auto key = shapes[s][at];
      for (const auto* list : by_shape[s]) {
        const auto code = r.varint();
        const auto pair = code == 0 ? next[key]++ : first[key] + code - 1;
        if (pair >= next[key]) return break_reader(r);
        table.pair_ids[list->begin + at] = static_cast<std::uint32_t>(pair);
      }
      if (next[key] > first[key + 1]) return break_reader(r);
    }
  }
}

struct IdHash {
  std::size_t operator()(const SpanId& id) const {
    std::uint64_t bits = 0;
    std::memcpy(&bits, id.data(), sizeof bits);
    return static_cast<std::size_t>(bits * 0x9e3779b97f4a7c15ULL >> 7);
  }
};

// A parent is 0 (none), 1 (its id follows in the column of ids), or 2 + zigzag of how many rows it
// is before its child.
void write_parents(ByteWriter& w, const SpanTable& table) {
  std::unordered_map<SpanId, std::uint32_t, IdHash> row_of;
  const SpanId none{};
  for (std::uint32_t i = 0; i < table.rows.size(); ++i) row_of.emplace(table.rows[i].span_id, i);
  std::string ids;
  ByteWriter id(ids);
  for (std::uint32_t i = 0; i < table.rows.size(); ++i) {
    const auto& parent = table.rows[i].parent_span_id;
    if (parent == none) {
      w.varint(0);
      continue;
    }
    const auto it = row_of.find(parent);
    if (it == row_of.end()) {
      w.varint(1);
      write_id(id, parent);
      continue;
    }
    const auto distance = static_cast<std::int64_t>(i) - static_cast<std::int64_t>(it->second);
    w.varint(2 + ((static_cast<std::uint64_t>(distance) << 1) ^
                  static_cast<std::uint64_t>(distance >> 63)));
  }
  w.raw(ids);
}

void read_parents(ByteReader& r, SpanTable& table) {
  std::vector<SpanTable::Row*> raw;
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const auto code = r.varint();
    if (code == 1) raw.push_back(&table.rows[i]);
    if (code < 2) continue;
    const auto distance =
        static_cast<std::int64_t>((code - 2) >> 1) ^ -static_cast<std::int64_t>((code - 2) & 1);
    const auto at = static_cast<std::uint64_t>(i) - static_cast<std::uint64_t>(distance);
    if (at >= table.rows.size()) return break_reader(r);
    table.rows[i].parent_span_id = table.rows[at].span_id;
  }
  for (auto* row : raw) read_id(r, row->parent_span_id);
}

void write_texts(std::string& out, const SpanTable& table) {
  ByteWriter w(out);
  w.varint(table.texts.size() - 1);
  for (std::size_t i = 1; i < table.texts.size(); ++i) w.varint(table.texts[i].size());
  for (std::size_t i = 1; i < table.texts.size(); ++i) w.raw(table.texts[i]);
}

void read_texts(ByteReader& r, SpanTable& table) {
  std::vector<std::size_t> sizes(read_count(r));
  for (auto& size : sizes) size = r.varint();
  for (const auto size : sizes) table.texts.emplace_back(r.raw(size));
}

using Row = SpanTable::Row;
constexpr std::uint32_t Row::* kNumbers[] = {&Row::resource,    &Row::name,  &Row::status_message,
                                             &Row::trace_state, &Row::flags, &Row::stands_for,
                                             &Row::events_size};

} // namespace

void write_columns(std::string& out, const SpanTable& table) {
  ByteWriter w(out);
  write_texts(out, table);
  w.varint(table.resources.size());
  for (const auto& resource : table.resources) write_resource(w, *resource);
  w.varint(table.rows.size());
  for (const auto& row : table.rows) write_id(w, row.trace_id);
  for (const auto& row : table.rows) write_id(w, row.span_id);
  write_parents(w, table);
  for (const auto member : kNumbers) {
    for (const auto& row : table.rows) w.varint(row.*member);
  }
  for (const auto& row : table.rows)
    w.u8(static_cast<std::uint8_t>(static_cast<unsigned>(row.kind) << 2 |
                                   static_cast<unsigned>(row.status)));
  std::uint64_t before = 0;
  for (const auto& row : table.rows)
    w.zigzag(static_cast<std::int64_t>(row.start_ns - std::exchange(before, row.start_ns)));
  for (const auto& row : table.rows) w.zigzag(static_cast<std::int64_t>(row.end_ns - row.start_ns));
  ListWriter lists(table);
  for (const auto& row : table.rows) w.varint(lists.add(row.attributes));
  for (const auto& row : table.rows) {
    for (std::uint32_t i = 0; i < row.events_size; ++i) {
      const auto& event = table.events[row.events_begin + i];
      w.zigzag(static_cast<std::int64_t>(event.time_ns - row.start_ns));
      w.varint(event.name);
      w.varint(lists.add(event.attributes));
    }
  }
  lists.write(out);
}

SpanTable read_columns(ByteReader& r) {
  SpanTable table;
  read_texts(r, table);
  const auto resources = read_count(r);
  for (std::size_t i = 0; i < resources && r.ok(); ++i) table.resources.push_back(read_resource(r));
  table.rows.resize(read_count(r, kRowLeast));
  for (auto& row : table.rows) read_id(r, row.trace_id);
  for (auto& row : table.rows) read_id(r, row.span_id);
  read_parents(r, table);
  for (const auto member : kNumbers) {
    for (auto& row : table.rows) row.*member = static_cast<std::uint32_t>(r.varint());
  }
  std::size_t events = 0;
  for (auto& row : table.rows) {
    const auto both = r.u8();
    row.kind = static_cast<SpanKind>(both >> 2);
    row.status = static_cast<StatusCode>(both & 3);
    row.events_begin = static_cast<std::uint32_t>(events);
    events += row.events_size;
    const auto texts = table.texts.size();
    if (row.kind > SpanKind::consumer || row.status > StatusCode::error ||
        row.resource >= table.resources.size() || row.name >= texts ||
        row.status_message >= texts || row.trace_state >= texts || events > r.remaining()) {
      break_reader(r);
      return {};
    }
  }
  std::uint64_t before = 0;
  for (auto& row : table.rows)
    before = row.start_ns = before + static_cast<std::uint64_t>(r.zigzag());
  for (auto& row : table.rows) row.end_ns = row.start_ns + static_cast<std::uint64_t>(r.zigzag());
  std::vector<SpanTable::List*> lists;
  std::vector<std::uint32_t> shapes;
  table.events.resize(events);
  for (auto& row : table.rows) {
    lists.push_back(&row.attributes);
    shapes.push_back(static_cast<std::uint32_t>(r.varint()));
  }
  for (auto& row : table.rows) {
    for (std::uint32_t i = 0; i < row.events_size; ++i) {
      auto& event = table.events[row.events_begin + i];
      event.time_ns = row.start_ns + static_cast<std::uint64_t>(r.zigzag());
      event.name = static_cast<std::uint32_t>(r.varint());
      if (event.name >= table.texts.size()) break_reader(r);
      lists.push_back(&event.attributes);
      shapes.push_back(static_cast<std::uint32_t>(r.varint()));
    }
  }
  read_lists(r, table, lists, shapes);
  if (!r.ok()) return {};
  return table;
}

} // namespace coalmine::store
