// Spans in columns: every distinct text and attribute of a request or of a stored segment is held
// once, and a span consists of indexes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "telemetry/span.h"

namespace coalmine {

// A plain value. Indexes refer to the table's own vectors and are valid only together with it.
struct SpanTable {
  static constexpr std::uint32_t kNoText = 0; // texts[0] is ""

  struct Pair {            // an attribute
    std::uint32_t key = 0; // into texts
    AttributeValue value;
  };
  struct List { // attributes of one span or event, a piece of pair_ids
    std::uint32_t begin = 0;
    std::uint32_t size = 0;
  };
  struct Event {
    std::uint64_t time_ns = 0;
    std::uint32_t name = kNoText;
    List attributes;
  };
  struct Row {
    std::uint32_t resource = 0;
    TraceId trace_id{};
    SpanId span_id{};
    SpanId parent_span_id{};
    SpanKind kind = SpanKind::unspecified;
    StatusCode status = StatusCode::unset;
    std::uint32_t name = kNoText;
    std::uint64_t start_ns = 0;
    std::uint64_t end_ns = 0;
    std::uint32_t status_message = kNoText;
    std::uint32_t trace_state = kNoText;
    std::uint32_t flags = 0;
    std::uint32_t stands_for = 1;
    List attributes;
    std::uint32_t events_begin = 0;
    std::uint32_t events_size = 0;
  };

  std::vector<std::shared_ptr<const Resource>> resources; // never null
  std::vector<std::string> texts = {""};
  std::vector<Pair> pairs;
  std::vector<std::uint32_t> pair_ids;
  std::vector<Event> events;
  std::vector<Row> rows;

  bool empty() const { return rows.empty(); }
  std::span<const std::uint32_t> list(const List& of) const {
    return std::span(pair_ids).subspan(of.begin, of.size);
  }
  // The first attribute of that name, or nullptr.
  const AttributeValue* find(const List& in, std::string_view name) const;
  Span span(std::size_t row) const;
};

// All rows as spans, and back. For few spans: a span of its own costs several allocations.
std::vector<Span> spans_of(const SpanTable& table);
SpanTable table_of(const std::vector<Span>& spans);

// Adds to a table. One thread; the table is the builder's until take().
class SpanTableBuilder {
 public:
  std::uint32_t resource(const std::shared_ptr<const Resource>& resource);
  std::uint32_t text(std::string_view text);
  std::uint32_t pair(std::uint32_t key, AttributeValue value);
  void add(const Span& span);
  // A row of another table, with everything it refers to.
  class Import;

  SpanTable& table() { return table_; }
  SpanTable take() { return std::move(table_); }

 private:
  SpanTable::List list(const Attributes& attributes);

  SpanTable table_;
  std::unordered_map<const Resource*, std::uint32_t> resources_;
  // By hash. A text whose hash is taken by another text may be stored twice.
  std::unordered_map<std::uint64_t, std::uint32_t> texts_;
  std::unordered_map<std::uint64_t, std::uint32_t> pairs_;
};

// Copies rows of one table into a builder. Each index is translated once. Both must outlive it.
class SpanTableBuilder::Import {
 public:
  Import(const SpanTable& from, SpanTableBuilder& to);
  void add(std::size_t row);

 private:
  std::uint32_t text(std::uint32_t number);
  SpanTable::List list(const SpanTable::List& of);

  const SpanTable& from_;
  SpanTableBuilder& to_;
  std::vector<std::uint32_t> resources_;
  std::vector<std::uint32_t> texts_;
  std::vector<std::uint32_t> pairs_;
};

} // namespace coalmine
