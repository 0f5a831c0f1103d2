// SPDX-License-Identifier: Apache-2.0
#include "store/spans/segment_parts.h"

#include <string>
#include <utility>

namespace coalmine::store {
namespace {

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

} // namespace

void write_value(ByteWriter& w, const AttributeValue& value) { std::visit(ValueWriter{w}, value); }

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
    write_value(w, value);
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
  for (const auto* text : {&resource.service, &resource.version, &resource.track,
                           &resource.environment, &resource.instance})
    w.text(*text);
  w.varint(resource.labels.size());
  for (const auto [name, value] : resource.labels) {
    w.text(name);
    w.text(value);
  }
}

std::shared_ptr<const Resource> read_resource(ByteReader& r) {
  auto out = std::make_shared<Resource>();
  out->attributes = read_attributes(r);
  for (auto* text : {&out->service, &out->version, &out->track, &out->environment, &out->instance})
    *text = r.text();
  std::vector<Labels::Pair> pairs;
  const auto count = read_count(r);
  for (std::size_t i = 0; i < count && r.ok(); ++i) {
    std::string name(r.text());
    pairs.emplace_back(std::move(name), r.text());
  }
  out->labels = Labels(std::move(pairs));
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

} // namespace coalmine::store
