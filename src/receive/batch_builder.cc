// SPDX-License-Identifier: Apache-2.0
#include "receive/batch_builder.h"

#include <fmt/format.h>

#include <algorithm>

#include "receive/misdirected.h"
#include "receive/text.h"
#include "telemetry/outcome.h"

namespace coalmine::receive {
namespace {

// A payload may decode to this many times the limit of its inflated size. Honest telemetry needs 2
// to 10 times.
constexpr std::size_t kBudgetFactor = 8;
constexpr std::int32_t kSeverityError = 17;

std::size_t text_heap_bytes(std::string_view text) {
  return text.size() > 15 ? text.size() + 1 : 0;
}

bool is_exception(const LogRecord& record) {
  if (record.event_name == "exception" || record.event_name.ends_with(".exception")) return true;
  return std::ranges::any_of(record.attributes,
                             [](const Attribute& a) { return a.first.starts_with("exception."); });
}

bool all_zero(const auto& id) {
  return std::ranges::all_of(id, [](std::uint8_t b) { return b == 0; });
}

std::string_view items_word(Signal signal) {
  switch (signal) {
    case Signal::traces: return "spans";
    case Signal::metrics: return "data points";
    case Signal::logs: return "log records";
  }
  return "items";
}

} // namespace

BatchBuilder::BatchBuilder(std::string_view sender, std::int64_t now_ms, const Limits& limits,
                           SeriesCache* cache)
    : sender_(sender),
      limits_(limits),
      budget_(limits.max_inflated_bytes * kBudgetFactor),
      cache_(cache),
      no_bounds_(std::make_shared<const std::vector<double>>()) {
  out_.batch.received_ms = now_ms;
  begin_scope({});
  out_.batch.tell_resources = true;
}

bool BatchBuilder::begin_known_resource(std::string_view bytes) {
  begin_resource({});
  if (cache_ == nullptr) return false;
  const ByteKey key = cache_->seed() + sender_ + bytes;
  known_ = cache_->find(key);
  if (!known_) {
    resource_key_ = key;
    resource_losses_ = losses();
    return false;
  }
  resource_ = known_->resource;
  known_lock_ = std::unique_lock(known_->mutex);
  return true;
}

void BatchBuilder::begin_resource(Attributes attributes) {
  const auto key = std::exchange(resource_key_, std::nullopt);
  if (known_lock_.owns_lock()) known_lock_.unlock();
  known_.reset();
  resource_attributes_ = std::move(attributes);
  resource_.reset();
  begin_scope({});
  series_.clear();
  if (!key || losses() != resource_losses_) return; // cut values are to be counted again next time
  known_ = cache_->add(*key, resource());
  known_lock_ = std::unique_lock(known_->mutex);
}

void BatchBuilder::begin_scope(ScopeHead head, std::string_view bytes) {
  static const auto kNone = std::make_shared<const Labels>();
  scope_bytes_ = bytes;
  sampling_marks_.clear();
  for (const auto& attribute : head.attributes) {
    if (is_tail_sampling_mark(attribute.first)) sampling_marks_.push_back(attribute);
  }
  std::vector<Labels::Pair> pairs;
  for (const auto& [key, value] : head.attributes) {
    auto name = "otel_scope_" + label_name(key);
    const auto same = std::ranges::find(pairs, name, &Labels::Pair::first);
    if (same == pairs.end()) {
      pairs.emplace_back(std::move(name), to_text(value));
    } else {
      same->second += ";" + to_text(value);
    }
  }
  if (!head.version.empty()) pairs.emplace_back("otel_scope_version", std::move(head.version));
  if (!head.name.empty()) pairs.emplace_back("otel_scope_name", std::move(head.name));
  scope_ = pairs.empty() ? kNone : std::make_shared<const Labels>(std::move(pairs));
  charge(scope_->memory());
}

const std::shared_ptr<const Resource>& BatchBuilder::resource() {
  if (!resource_) {
    charge(sizeof(Resource) + 1024);
    resource_ = make_resource(std::move(resource_attributes_), sender_, limits_.promoted);
    resource_attributes_.clear();
  }
  return resource_;
}

std::string BatchBuilder::text(std::string_view raw) {
  bool cut = false;
  auto out = safe_text(raw, limits_.max_value_bytes, cut);
  if (cut) count_cut();
  return out;
}

bool BatchBuilder::has_room(std::size_t attributes, std::string_view key) {
  if (!key.empty() && attributes < limits_.max_attributes) return true;
  ++out_.dropped_attributes;
  return false;
}

bool BatchBuilder::has_room(const Attributes& attributes, std::string_view key) {
  return has_room(attributes.size(), key);
}

bool BatchBuilder::has_room(const std::vector<SpanEvent>& events) {
  if (events.size() < limits_.max_attributes) return true;
  ++out_.dropped_attributes;
  return false;
}

void BatchBuilder::push(Attributes& attributes, std::string_view key, AttributeValue value) {
  if (attributes.empty()) attributes.reserve(8);
  attributes.emplace_back(text(key), std::move(value));
}

void BatchBuilder::charge(const Attributes& attributes) {
  std::size_t bytes = attributes.capacity() * sizeof(Attribute);
  for (const auto& [key, value] : attributes) {
    bytes += text_heap_bytes(key);
    if (const auto* text = std::get_if<std::string>(&value)) bytes += text_heap_bytes(*text);
    if (const auto* json = std::get_if<JsonText>(&value)) bytes += text_heap_bytes(json->text);
    if (const auto* raw = std::get_if<Bytes>(&value)) bytes += text_heap_bytes(raw->raw);
  }
  charge(bytes);
}

void BatchBuilder::reject(std::string_view slug, std::string sentence) {
  ++out_.rejected;
  const auto it = out_.rejected_by.find(slug);
  if (it != out_.rejected_by.end()) {
    ++it->second;
    return;
  }
  out_.rejected_by.emplace(slug, 1);
  reasons_.emplace_back(slug, std::move(sentence));
}

bool BatchBuilder::check_ids(std::string_view name, const TraceId& trace_id, const SpanId& id,
                             IdState trace, IdState span_id, IdState parent) {
  ++out_.items;
  name = name.substr(0, 100);
  if (trace == IdState::base64 || span_id == IdState::base64 || parent == IdState::base64) {
    reject(
        "base64_id",
        fmt::format("the ids of span \"{}\" are base64; OTLP/JSON has them in hex, 32 digits for "
                    "a trace and 16 for a span",
                    name));
  } else if (trace != IdState::good || all_zero(trace_id)) {
    reject("bad_trace_id",
           fmt::format("the trace id of span \"{}\" is zero, missing or not 16 bytes", name));
  } else if (span_id != IdState::good || all_zero(id)) {
    reject("bad_span_id",
           fmt::format("the span id of span \"{}\" is zero, missing or not 8 bytes", name));
  } else if (parent == IdState::bad) {
    reject("bad_parent_id", fmt::format("the parent span id of span \"{}\" is not 8 bytes", name));
  } else {
    return true;
  }
  return false;
}

bool BatchBuilder::check_time(std::string_view what, std::string_view name, std::uint64_t time_ns) {
  const auto unit = mistaken_unit(time_ns, out_.batch.received_ms);
  if (unit.empty()) return true;
  reject("time_unit",
         fmt::format("the time {} of {} \"{}\" is in {}; OTLP has nanoseconds since 1970", time_ns,
                     what, name.substr(0, 100), unit));
  return false;
}

void BatchBuilder::add(SpanTable::Row row, IdState trace, IdState span_id, IdState parent,
                       const SpanCollector::Mark& begun) {
  auto& table = spans_.table();
  if (!check_ids(table.table().texts[row.name], row.trace_id, row.span_id, trace, span_id,
                 parent) ||
      !check_time("span", table.table().texts[row.name], std::max(row.start_ns, row.end_ns)))
    return spans_.back_to(begun);
  charge(sizeof(SpanTable::Row) + row.attributes.size * sizeof(std::uint32_t));
  row.resource = table.resource(resource());
  row.events_begin = static_cast<std::uint32_t>(begun.events);
  row.events_size = static_cast<std::uint32_t>(table.table().events.size() - begun.events);
  table.table().rows.push_back(row);
}

void BatchBuilder::add(Span span, IdState trace, IdState span_id, IdState parent) {
  if (!check_ids(span.name, span.trace_id, span.span_id, trace, span_id, parent) ||
      !check_time("span", span.name, std::max(span.start_ns, span.end_ns)))
    return;
  charge(sizeof(Span) + text_heap_bytes(span.name) + text_heap_bytes(span.status_message) +
         text_heap_bytes(span.trace_state));
  charge(span.attributes);
  for (const auto& event : span.events) {
    charge(sizeof(SpanEvent) + text_heap_bytes(event.name));
    charge(event.attributes);
  }
  span.resource = resource();
  spans_.table().add(span);
}

void BatchBuilder::add(LogRecord record) {
  ++out_.items;
  if (record.event_name.empty())
    record.event_name = attribute_text(record.attributes, "event.name");
  const bool error_of_trace = record.severity >= kSeverityError && !all_zero(record.trace_id);
  if (!error_of_trace && !is_exception(record)) {
    ++out_.logs_not_kept;
    return;
  }
  if (!check_time("log record", record.event_name, record.time_ns)) return;
  charge(sizeof(LogRecord) + text_heap_bytes(record.event_name) + text_heap_bytes(record.body));
  charge(record.attributes);
  record.resource = resource();
  out_.batch.logs.push_back(std::move(record));
}

Result<Decoded> BatchBuilder::finish(Signal signal) {
  if (over_budget()) {
    return fail(
        ErrorCode::resource_exhausted,
        fmt::format("the payload decodes to more than {} bytes of memory; send smaller batches",
                    budget_));
  }
  if (out_.rejected > 0) {
    std::string parts;
    for (const auto& [slug, sentence] : reasons_) {
      if (!parts.empty()) parts += "; ";
      parts += sentence;
      const std::size_t others = out_.rejected_by.find(slug)->second - 1;
      if (others > 0) parts += fmt::format(" (and {} more)", others);
    }
    out_.reason = fmt::format("{} of {} {} rejected: {}", out_.rejected, out_.items,
                              items_word(signal), parts);
  }
  out_.batch.spans = spans_.table().take();
  return std::move(out_);
}

} // namespace coalmine::receive
