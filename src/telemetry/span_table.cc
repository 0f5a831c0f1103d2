// SPDX-License-Identifier: Apache-2.0
#include "telemetry/span_table.h"

#include <xxhash.h>

#include <bit>
#include <utility>

namespace coalmine {
namespace {

constexpr std::uint32_t kUnknown = UINT32_MAX;

std::uint64_t hash_of(const AttributeValue& value, std::uint64_t seed) {
  const auto of = [&](std::string_view text) {
    return XXH3_64bits_withSeed(text.data(), text.size(), seed + value.index());
  };
  const auto of_bits = [&](std::uint64_t bits) {
    return XXH3_64bits_withSeed(&bits, sizeof bits, seed + value.index());
  };
  struct Visitor {
    const decltype(of)& text;
    const decltype(of_bits)& bits;
    std::uint64_t operator()(std::monostate) const { return bits(0); }
    std::uint64_t operator()(const std::string& v) const { return text(v); }
    std::uint64_t operator()(bool v) const { return bits(v ? 1 : 0); }
    std::uint64_t operator()(std::int64_t v) const { return bits(static_cast<std::uint64_t>(v)); }
    std::uint64_t operator()(double v) const { return bits(std::bit_cast<std::uint64_t>(v)); }
    std::uint64_t operator()(const Bytes& v) const { return text(v.raw); }
    std::uint64_t operator()(const JsonText& v) const { return text(v.text); }
  };
  return std::visit(Visitor{of, of_bits}, value);
}

// Compares by bits, so that NaN equals itself and -0 differs from 0.
bool same(const AttributeValue& a, const AttributeValue& b) {
  if (const auto* x = std::get_if<double>(&a)) {
    const auto* y = std::get_if<double>(&b);
    return y != nullptr && std::bit_cast<std::uint64_t>(*x) == std::bit_cast<std::uint64_t>(*y);
  }
  return a == b;
}

Attributes attributes_of(const SpanTable& table, const SpanTable::List& list) {
  Attributes out;
  out.reserve(list.size);
  for (const auto id : table.list(list))
    out.emplace_back(table.texts[table.pairs[id].key], table.pairs[id].value);
  return out;
}

} // namespace

const AttributeValue* SpanTable::find(const List& in, std::string_view name) const {
  for (const auto id : list(in)) {
    if (texts[pairs[id].key] == name) return &pairs[id].value;
  }
  return nullptr;
}

Span SpanTable::span(std::size_t row) const {
  const Row& r = rows[row];
  Span out;
  out.resource = resources[r.resource];
  out.trace_id = r.trace_id;
  out.span_id = r.span_id;
  out.parent_span_id = r.parent_span_id;
  out.name = texts[r.name];
  out.kind = r.kind;
  out.start_ns = r.start_ns;
  out.end_ns = r.end_ns;
  out.status = r.status;
  out.status_message = texts[r.status_message];
  out.trace_state = texts[r.trace_state];
  out.flags = r.flags;
  out.stands_for = r.stands_for;
  out.attributes = attributes_of(*this, r.attributes);
  out.events.reserve(r.events_size);
  for (std::uint32_t i = 0; i < r.events_size; ++i) {
    const auto& event = events[r.events_begin + i];
    out.events.push_back(
        {event.time_ns, texts[event.name], attributes_of(*this, event.attributes)});
  }
  return out;
}

std::vector<Span> spans_of(const SpanTable& table) {
  std::vector<Span> out;
  for (std::size_t i = 0; i < table.rows.size(); ++i) out.push_back(table.span(i));
  return out;
}

SpanTable table_of(const std::vector<Span>& spans) {
  SpanTableBuilder builder;
  for (const auto& span : spans) builder.add(span);
  return builder.take();
}

std::uint32_t SpanTableBuilder::resource(const std::shared_ptr<const Resource>& resource) {
  const auto [it, added] =
      resources_.try_emplace(resource.get(), static_cast<std::uint32_t>(table_.resources.size()));
  if (added) table_.resources.push_back(resource);
  return it->second;
}

std::uint32_t SpanTableBuilder::text(std::string_view text) {
  if (text.empty()) return SpanTable::kNoText;
  const auto next = static_cast<std::uint32_t>(table_.texts.size());
  const auto [it, added] = texts_.try_emplace(XXH3_64bits(text.data(), text.size()), next);
  if (!added && table_.texts[it->second] == text) return it->second;
  table_.texts.emplace_back(text);
  return next;
}

std::uint32_t SpanTableBuilder::pair(std::uint32_t key, AttributeValue value) {
  const auto next = static_cast<std::uint32_t>(table_.pairs.size());
  const auto [it, added] = pairs_.try_emplace(hash_of(value, std::uint64_t{key} << 8), next);
  if (!added && table_.pairs[it->second].key == key && same(table_.pairs[it->second].value, value))
    return it->second;
  table_.pairs.push_back({key, std::move(value)});
  return next;
}

SpanTable::List SpanTableBuilder::list(const Attributes& attributes) {
  const SpanTable::List out{static_cast<std::uint32_t>(table_.pair_ids.size()),
                            static_cast<std::uint32_t>(attributes.size())};
  for (const auto& [name, value] : attributes) table_.pair_ids.push_back(pair(text(name), value));
  return out;
}

void SpanTableBuilder::add(const Span& span) {
  static const auto kNoResource = std::make_shared<const Resource>();
  SpanTable::Row row;
  row.resource = resource(span.resource ? span.resource : kNoResource);
  row.trace_id = span.trace_id;
  row.span_id = span.span_id;
  row.parent_span_id = span.parent_span_id;
  row.kind = span.kind;
  row.status = span.status;
  row.name = text(span.name);
  row.start_ns = span.start_ns;
  row.end_ns = span.end_ns;
  row.status_message = text(span.status_message);
  row.trace_state = text(span.trace_state);
  row.flags = span.flags;
  row.stands_for = span.stands_for;
  row.attributes = list(span.attributes);
  row.events_begin = static_cast<std::uint32_t>(table_.events.size());
  row.events_size = static_cast<std::uint32_t>(span.events.size());
  for (const auto& event : span.events)
    table_.events.push_back({event.time_ns, text(event.name), list(event.attributes)});
  table_.rows.push_back(row);
}

SpanTableBuilder::Import::Import(const SpanTable& from, SpanTableBuilder& to)
    : from_(from),
      to_(to),
      resources_(from.resources.size(), kUnknown),
      texts_(from.texts.size(), kUnknown),
      pairs_(from.pairs.size(), kUnknown) {}

std::uint32_t SpanTableBuilder::Import::text(std::uint32_t number) {
  if (texts_[number] == kUnknown) texts_[number] = to_.text(from_.texts[number]);
  return texts_[number];
}

SpanTable::List SpanTableBuilder::Import::list(const SpanTable::List& of) {
  const SpanTable::List out{static_cast<std::uint32_t>(to_.table_.pair_ids.size()), of.size};
  for (const auto id : from_.list(of)) {
    if (pairs_[id] == kUnknown)
      pairs_[id] = to_.pair(text(from_.pairs[id].key), from_.pairs[id].value);
    to_.table_.pair_ids.push_back(pairs_[id]);
  }
  return out;
}

void SpanTableBuilder::Import::add(std::size_t number) {
  SpanTable::Row row = from_.rows[number];
  auto& resource = resources_[row.resource];
  if (resource == kUnknown) resource = to_.resource(from_.resources[row.resource]);
  row.resource = resource;
  row.name = text(row.name);
  row.status_message = text(row.status_message);
  row.trace_state = text(row.trace_state);
  row.attributes = list(row.attributes);
  const auto events = std::span(from_.events).subspan(row.events_begin, row.events_size);
  row.events_begin = static_cast<std::uint32_t>(to_.table_.events.size());
  for (const auto& event : events)
    to_.table_.events.push_back({event.time_ns, text(event.name), list(event.attributes)});
  to_.table_.rows.push_back(row);
}

} // namespace coalmine
