// SPDX-License-Identifier: Apache-2.0
#include "store/span_segment.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

#include "base/bytes.h"

namespace coalmine::store {
namespace {

constexpr std::uint8_t kVersion = 1;

using Resources = std::vector<std::shared_ptr<const Resource>>;

void break_reader(ByteReader& r) { (void)r.raw(r.remaining() + 1); }

// A count of things of which each takes at least one byte.
std::size_t read_count(ByteReader& r) {
  const auto count = r.varint();
  if (count <= r.remaining()) return static_cast<std::size_t>(count);
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

struct ValueWriter {
  ByteWriter& w;
  void operator()(std::monostate) const { w.u8(0); }
  void operator()(const std::string& v) const { tagged(1, v); }
  void operator()(bool v) const {
    w.u8(2);
    w.u8(v ? 1 : 0);
  }
  void operator()(std::int64_t v) const {
    w.u8(3);
    w.zigzag(v);
  }
  void operator()(double v) const {
    w.u8(4);
    w.f64(v);
  }
  void operator()(const Bytes& v) const { tagged(5, v.raw); }
  void operator()(const JsonText& v) const { tagged(6, v.text); }
  void tagged(std::uint8_t tag, std::string_view text) const {
    w.u8(tag);
    w.text(text);
  }
};

AttributeValue read_value(ByteReader& r) {
  switch (r.u8()) {
    case 0: return std::monostate{};
    case 1: return std::string(r.text());
    case 2: return r.u8() != 0;
    case 3: return r.zigzag();
    case 4: return r.f64();
    case 5: return Bytes{std::string(r.text())};
    case 6: return JsonText{std::string(r.text())};
    default: break_reader(r); return std::monostate{};
  }
}

void write_attributes(ByteWriter& w, const Attributes& attributes) {
  w.varint(attributes.size());
  for (const auto& [name, value] : attributes) {
    w.text(name);
    std::visit(ValueWriter{w}, value);
  }
}

Attributes read_attributes(ByteReader& r) {
  Attributes out;
  const auto count = read_count(r);
  for (std::size_t i = 0; i < count && r.ok(); ++i) {
    std::string name(r.text());
    out.emplace_back(std::move(name), read_value(r));
  }
  return out;
}

void write_resource(ByteWriter& w, const Resource& resource) {
  write_attributes(w, resource.attributes);
  for (const auto* text : {&resource.service, &resource.version, &resource.track, &resource.environment, &resource.instance}) w.text(*text);
  w.varint(resource.labels.size());
  for (const auto& [name, value] : resource.labels) {
    w.text(name);
    w.text(value);
  }
}

std::shared_ptr<const Resource> read_resource(ByteReader& r) {
  auto out = std::make_shared<Resource>();
  out->attributes = read_attributes(r);
  for (auto* text : {&out->service, &out->version, &out->track, &out->environment, &out->instance}) *text = r.text();
  std::vector<Labels::Pair> pairs;
  const auto count = read_count(r);
  for (std::size_t i = 0; i < count && r.ok(); ++i) {
    std::string name(r.text());
    pairs.emplace_back(std::move(name), r.text());
  }
  out->labels = Labels(std::move(pairs));
  return out;
}

void write_span(ByteWriter& w, const Span& span) {
  write_id(w, span.trace_id);
  write_id(w, span.span_id);
  write_id(w, span.parent_span_id);
  w.text(span.name);
  w.u8(static_cast<std::uint8_t>(span.kind));
  w.u64(span.start_ns);
  w.zigzag(static_cast<std::int64_t>(span.end_ns - span.start_ns));
  w.u8(static_cast<std::uint8_t>(span.status));
  w.text(span.status_message);
  w.text(span.trace_state);
  w.varint(span.flags);
  write_attributes(w, span.attributes);
  w.varint(span.events.size());
  for (const auto& event : span.events) {
    w.zigzag(static_cast<std::int64_t>(event.time_ns - span.start_ns));
    w.text(event.name);
    write_attributes(w, event.attributes);
  }
}

Span read_span(ByteReader& r, const Resources& resources) {
  Span out;
  const auto at = r.varint();
  if (at >= resources.size()) {
    break_reader(r);
    return out;
  }
  out.resource = resources[static_cast<std::size_t>(at)];
  read_id(r, out.trace_id);
  read_id(r, out.span_id);
  read_id(r, out.parent_span_id);
  out.name = r.text();
  const auto kind = r.u8();
  out.start_ns = r.u64();
  out.end_ns = out.start_ns + static_cast<std::uint64_t>(r.zigzag());
  const auto status = r.u8();
  if (kind > static_cast<std::uint8_t>(SpanKind::consumer) || status > static_cast<std::uint8_t>(StatusCode::error)) break_reader(r);
  out.kind = static_cast<SpanKind>(kind);
  out.status = static_cast<StatusCode>(status);
  out.status_message = r.text();
  out.trace_state = r.text();
  out.flags = static_cast<std::uint32_t>(r.varint());
  out.attributes = read_attributes(r);
  const auto events = read_count(r);
  for (std::size_t i = 0; i < events && r.ok(); ++i) {
    SpanEvent event;
    event.time_ns = out.start_ns + static_cast<std::uint64_t>(r.zigzag());
    event.name = r.text();
    event.attributes = read_attributes(r);
    out.events.push_back(std::move(event));
  }
  return out;
}

void write_log(ByteWriter& w, const LogRecord& log) {
  w.u64(log.time_ns);
  write_id(w, log.trace_id);
  write_id(w, log.span_id);
  w.zigzag(log.severity);
  w.text(log.event_name);
  w.text(log.body);
  write_attributes(w, log.attributes);
}

LogRecord read_log(ByteReader& r, const Resources& resources) {
  LogRecord out;
  const auto at = r.varint();
  if (at >= resources.size()) {
    break_reader(r);
    return out;
  }
  out.resource = resources[static_cast<std::size_t>(at)];
  out.time_ns = r.u64();
  read_id(r, out.trace_id);
  read_id(r, out.span_id);
  out.severity = static_cast<std::int32_t>(r.zigzag());
  out.event_name = r.text();
  out.body = r.text();
  out.attributes = read_attributes(r);
  return out;
}

// Every resource once, in order of appearance.
class ResourceTable {
 public:
  std::size_t index_of(const std::shared_ptr<const Resource>& resource) {
    const auto [it, added] = indexes_.try_emplace(resource.get(), resources_.size());
    if (added) resources_.push_back(resource.get());
    return it->second;
  }
  const std::vector<const Resource*>& resources() const { return resources_; }

 private:
  std::unordered_map<const Resource*, std::size_t> indexes_;
  std::vector<const Resource*> resources_;
};

void seal(std::string& bytes) {
  const auto sum = XXH3_64bits(bytes.data(), bytes.size());
  ByteWriter(bytes).u64(sum);
}

// The content without its checksum; nullopt when that does not fit.
std::optional<std::string_view> unsealed(std::string_view bytes) {
  if (bytes.size() < sizeof(std::uint64_t)) return std::nullopt;
  const auto content = bytes.substr(0, bytes.size() - sizeof(std::uint64_t));
  if (ByteReader(bytes.substr(content.size())).u64() != XXH3_64bits(content.data(), content.size())) return std::nullopt;
  return content;
}

std::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorCode::data_loss, "a " + std::string(what) + " is damaged");
}

} // namespace

std::string encode_segment(const SpanSegment& segment) {
  static const auto kNoResource = std::make_shared<const Resource>();
  ResourceTable table;
  std::string body;
  ByteWriter w(body);
  w.varint(segment.spans.size());
  for (const auto& span : segment.spans) {
    w.varint(table.index_of(span.resource ? span.resource : kNoResource));
    write_span(w, span);
  }
  w.varint(segment.logs.size());
  for (const auto& log : segment.logs) {
    w.varint(table.index_of(log.resource ? log.resource : kNoResource));
    write_log(w, log);
  }
  std::string out;
  ByteWriter head(out);
  head.u8(kVersion);
  head.varint(table.resources().size());
  for (const auto* resource : table.resources()) write_resource(head, *resource);
  out += body;
  seal(out);
  return out;
}

Result<SpanSegment> decode_segment(std::string_view bytes) {
  const auto content = unsealed(bytes);
  if (!content) return damaged("segment of spans");
  ByteReader r(*content);
  if (r.u8() != kVersion) return damaged("segment of spans");
  Resources resources;
  const auto resource_count = read_count(r);
  for (std::size_t i = 0; i < resource_count && r.ok(); ++i) resources.push_back(read_resource(r));
  SpanSegment out;
  const auto spans = read_count(r);
  for (std::size_t i = 0; i < spans && r.ok(); ++i) out.spans.push_back(read_span(r, resources));
  const auto logs = read_count(r);
  for (std::size_t i = 0; i < logs && r.ok(); ++i) out.logs.push_back(read_log(r, resources));
  if (!r.ok() || !r.done()) return damaged("segment of spans");
  return out;
}

std::uint64_t trace_hash(const TraceId& id) { return XXH3_64bits(id.data(), id.size()); }

std::uint64_t span_hash(const TraceId& trace, const SpanId& span) {
  std::array<std::uint8_t, sizeof(TraceId) + sizeof(SpanId)> both{};
  std::ranges::copy(trace, both.begin());
  std::ranges::copy(span, both.begin() + sizeof(TraceId));
  return XXH3_64bits(both.data(), both.size());
}

std::uint64_t log_hash(const LogRecord& log) {
  std::string flat;
  ByteWriter w(flat);
  w.u8(1);
  write_log(w, log);
  return XXH3_64bits(flat.data(), flat.size());
}

SegmentSummary summarise(const SpanSegment& segment) {
  SegmentSummary out;
  out.spans = segment.spans.size();
  std::int64_t least = INT64_MAX;
  std::int64_t most = INT64_MIN;
  const auto see_time = [&](std::uint64_t ns) {
    const auto ms = static_cast<std::int64_t>(ns / 1'000'000);
    least = std::min(least, ms);
    most = std::max(most, ms);
  };
  const Resource* before = nullptr;
  std::size_t at = 0;
  for (const auto& span : segment.spans) {
    see_time(span.start_ns);
    out.traces.push_back(trace_hash(span.trace_id));
    if (span.resource && span.resource.get() != before) {
      before = span.resource.get();
      const auto found = std::ranges::find_if(out.cohorts, [&](const SegmentCohort& c) {
        return c.service == before->service && c.track == before->track && c.version == before->version;
      });
      at = static_cast<std::size_t>(found - out.cohorts.begin());
      if (found == out.cohorts.end()) out.cohorts.push_back({before->service, before->track, before->version, false});
    }
    if (span.resource && span.status == StatusCode::error) out.cohorts[at].has_errors = true;
  }
  for (const auto& log : segment.logs) {
    if (segment.spans.empty()) see_time(log.time_ns);
    out.traces.push_back(trace_hash(log.trace_id));
  }
  out.min_start_ms = least == INT64_MAX ? 0 : least;
  out.max_start_ms = most == INT64_MIN ? 0 : most;
  std::ranges::sort(out.traces);
  out.traces.erase(std::ranges::unique(out.traces).begin(), out.traces.end());
  return out;
}

std::string encode_summary(const SegmentSummary& summary) {
  std::string out;
  ByteWriter w(out);
  w.u8(kVersion);
  w.zigzag(summary.min_start_ms);
  w.zigzag(summary.max_start_ms);
  w.varint(summary.spans);
  w.varint(summary.cohorts.size());
  for (const auto& cohort : summary.cohorts) {
    w.text(cohort.service);
    w.text(cohort.track);
    w.text(cohort.version);
    w.u8(cohort.has_errors ? 1 : 0);
  }
  w.varint(summary.traces.size());
  for (const auto hash : summary.traces) w.u64(hash);
  seal(out);
  return out;
}

Result<SegmentSummary> decode_summary(std::string_view bytes) {
  const auto content = unsealed(bytes);
  if (!content) return damaged("summary of a segment");
  ByteReader r(*content);
  if (r.u8() != kVersion) return damaged("summary of a segment");
  SegmentSummary out;
  out.min_start_ms = r.zigzag();
  out.max_start_ms = r.zigzag();
  out.spans = r.varint();
  const auto cohorts = read_count(r);
  for (std::size_t i = 0; i < cohorts && r.ok(); ++i) {
    SegmentCohort cohort;
    cohort.service = r.text();
    cohort.track = r.text();
    cohort.version = r.text();
    cohort.has_errors = r.u8() != 0;
    out.cohorts.push_back(std::move(cohort));
  }
  const auto traces = read_count(r);
  if (traces > r.remaining() / sizeof(std::uint64_t)) return damaged("summary of a segment");
  out.traces.resize(traces);
  for (auto& hash : out.traces) hash = r.u64();
  if (!r.ok() || !r.done()) return damaged("summary of a segment");
  return out;
}

} // namespace coalmine::store
