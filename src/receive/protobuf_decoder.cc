// Requests, spans and logs. The metric half is in protobuf_metrics.cc.
// SPDX-License-Identifier: Apache-2.0
#include "receive/protobuf_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace coalmine::receive {

void ProtobufCursor::other(Message& message, std::string_view type,
                           std::initializer_list<std::uint32_t> known) {
  if (std::ranges::find(known, message.tag()) != known.end()) {
    stopped_ = true;
    fault_ = fmt::format("field {} of {} has wire type {}", message.tag(), type,
                         static_cast<unsigned>(message.wire_type()));
    return;
  }
  message.skip();
}

void ProtobufDecoder::run(Signal signal) {
  Message request(payload_.data(), payload_.size());
  while (cursor_.next(request)) {
    if (request.tag_and_type() == tag_and_type(1, kBytes)) {
      resource_items(request.get_message(), signal);
    } else {
      cursor_.other(request, "the request", {1});
    }
  }
}

// ResourceSpans, ResourceMetrics and ResourceLogs have the same shape: resource = 1, scope_* = 2. A
// sender may write them in any order.
void ProtobufDecoder::resource_items(Message message, Signal signal) {
  std::string_view bytes;
  std::size_t resources = 0;
  Message scan = message;
  while (cursor_.next(scan)) {
    if (scan.tag_and_type() == tag_and_type(1, kBytes)) {
      bytes = view(scan);
      ++resources;
    } else {
      scan.skip();
    }
  }
  if (resources > 1 || !out_.begin_known_resource(bytes)) {
    Attributes attributes;
    for (scan = message; cursor_.next(scan);) {
      if (scan.tag_and_type() != tag_and_type(1, kBytes)) {
        scan.skip();
        continue;
      }
      auto more = attributes_of(scan.get_message(), "Resource");
      std::ranges::move(more, std::back_inserter(attributes));
    }
    out_.begin_resource(std::move(attributes));
  }
  while (cursor_.next(message)) {
    if (message.tag_and_type() == tag_and_type(2, kBytes)) {
      scope_items(message.get_message(), signal);
    } else if (message.tag_and_type() == tag_and_type(1, kBytes)) {
      message.skip();
    } else {
      cursor_.other(message, "a resource's items", {1, 2});
    }
  }
}

// ScopeSpans, ScopeMetrics, ScopeLogs: scope = 1, items = 2.
void ProtobufDecoder::scope_items(Message message, Signal signal) {
  ScopeHead head;
  std::string_view bytes;
  Message scan = message;
  while (cursor_.next(scan)) {
    if (scan.tag_and_type() != tag_and_type(1, kBytes)) {
      scan.skip();
      continue;
    }
    Message again = scan;
    bytes = view(again);
    Message scope = scan.get_message();
    while (cursor_.next(scope)) {
      switch (scope.tag_and_type()) {
        case tag_and_type(1, kBytes): head.name = out_.text(view(scope)); break;
        case tag_and_type(2, kBytes): head.version = out_.text(view(scope)); break;
        case tag_and_type(3, kBytes): key_value(scope.get_message(), head.attributes); break;
        default: cursor_.other(scope, "InstrumentationScope", {1, 2, 3});
      }
    }
  }
  out_.begin_scope(std::move(head), bytes);
  while (cursor_.next(message)) {
    if (message.tag_and_type() == tag_and_type(2, kBytes)) {
      switch (signal) {
        case Signal::traces: span(message.get_message()); break;
        case Signal::metrics: metric(message.get_message()); break;
        case Signal::logs: log_record(message.get_message()); break;
      }
      if (out_.over_budget()) cursor_.stop();
    } else if (message.tag_and_type() == tag_and_type(1, kBytes)) {
      message.skip();
    } else {
      cursor_.other(message, "a scope's items", {1, 2});
    }
  }
}

void ProtobufDecoder::log_record(Message message) {
  LogRecord record;
  std::uint64_t observed_ns = 0;
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kFixed64): record.time_ns = message.get_fixed64(); break;
      case tag_and_type(2, kVarint): record.severity = message.get_enum(); break;
      case tag_and_type(5, kBytes): record.body = to_text(any_value(message.get_message())); break;
      case tag_and_type(6, kBytes): key_value(message.get_message(), record.attributes); break;
      // A wrong id means "of no trace" for a log record (OTLP logs data model), so it is left zero.
      case tag_and_type(9, kBytes): read_id(view(message), record.trace_id); break;
      case tag_and_type(10, kBytes): read_id(view(message), record.span_id); break;
      case tag_and_type(11, kFixed64): observed_ns = message.get_fixed64(); break;
      case tag_and_type(12, kBytes): record.event_name = out_.text(view(message)); break;
      default: cursor_.other(message, "LogRecord", {1, 2, 5, 6, 9, 10, 11, 12});
    }
  }
  if (record.time_ns == 0) record.time_ns = observed_ns;
  if (!cursor_.failed()) out_.add(std::move(record));
}

Attributes ProtobufDecoder::attributes_of(Message message, std::string_view type) {
  Attributes out;
  while (cursor_.next(message)) {
    if (message.tag_and_type() == tag_and_type(1, kBytes)) {
      key_value(message.get_message(), out);
    } else {
      cursor_.other(message, type, {1});
    }
  }
  return out;
}

void ProtobufDecoder::key_value(Message message, Attributes& to) {
  std::string_view key;
  std::optional<Message> value;
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kBytes): key = view(message); break;
      case tag_and_type(2, kBytes): value = message.get_message(); break;
      default: cursor_.other(message, "KeyValue", {1, 2});
    }
  }
  if (cursor_.failed() || !out_.has_room(to, key)) return;
  out_.push(to, key, value ? any_value(*value) : AttributeValue());
}

AttributeValue ProtobufDecoder::any_value(Message message) {
  AttributeValue out;
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kBytes): out = out_.text(view(message)); break;
      case tag_and_type(2, kVarint): out = message.get_bool(); break;
      case tag_and_type(3, kVarint): out = std::int64_t{message.get_int64()}; break;
      case tag_and_type(4, kFixed64): out = message.get_double(); break;
      case tag_and_type(5, kBytes):
      case tag_and_type(6, kBytes): {
        BoundedJson json(out_.limits().max_value_bytes);
        if (message.tag() == 5) {
          nested_array(message.get_message(), json, 1);
        } else {
          nested_map(message.get_message(), json, 1);
        }
        if (json.cut()) out_.count_cut();
        out = JsonText{json.take()};
        break;
      }
      case tag_and_type(7, kBytes): {
        auto raw = view(message);
        if (raw.size() > out_.limits().max_value_bytes) {
          out_.count_cut();
          raw = raw.substr(0, out_.limits().max_value_bytes);
        }
        out = Bytes{std::string(raw)};
        break;
      }
      default: cursor_.other(message, "AnyValue", {1, 2, 3, 4, 5, 6, 7});
    }
  }
  return out;
}

// An AnyValue inside an array or map. If several members of the oneof are set, the last counts, as
// protobuf defines.
void ProtobufDecoder::nested_value(Message message, BoundedJson& json, int depth) {
  Message last;
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kBytes):
      case tag_and_type(2, kVarint):
      case tag_and_type(3, kVarint):
      case tag_and_type(4, kFixed64):
      case tag_and_type(5, kBytes):
      case tag_and_type(6, kBytes):
      case tag_and_type(7, kBytes):
        last = message;
        message.skip();
        break;
      default: cursor_.other(message, "AnyValue", {1, 2, 3, 4, 5, 6, 7});
    }
  }
  if (cursor_.failed() || last.tag() == 0) return json.raw("null");
  switch (last.tag()) {
    case 1: return json.string(view(last));
    case 2: return json.boolean(last.get_bool());
    case 3: return json.integer(last.get_int64());
    case 4: return json.number(last.get_double());
    case 5: return nested_array(last.get_message(), json, depth + 1);
    case 6: return nested_map(last.get_message(), json, depth + 1);
    default: return json.string(to_text(AttributeValue(Bytes{std::string(view(last))})));
  }
}

void ProtobufDecoder::nested_array(Message message, BoundedJson& json, int depth) {
  if (depth > out_.limits().max_depth) {
    json.set_cut();
    return json.raw("null");
  }
  json.raw("[");
  for (bool first = true; cursor_.next(message);) {
    if (message.tag_and_type() != tag_and_type(1, kBytes)) {
      cursor_.other(message, "ArrayValue", {1});
      continue;
    }
    if (json.full()) {
      json.set_cut();
      break;
    }
    if (!first) json.raw(",");
    first = false;
    nested_value(message.get_message(), json, depth);
  }
  json.raw("]");
}

void ProtobufDecoder::nested_map(Message message, BoundedJson& json, int depth) {
  if (depth > out_.limits().max_depth) {
    json.set_cut();
    return json.raw("null");
  }
  json.raw("{");
  for (bool first = true; cursor_.next(message);) {
    if (message.tag_and_type() != tag_and_type(1, kBytes)) {
      cursor_.other(message, "KeyValueList", {1});
      continue;
    }
    if (json.full()) {
      json.set_cut();
      break;
    }
    if (!first) json.raw(",");
    first = false;
    std::string_view key;
    std::optional<Message> value;
    Message pair = message.get_message();
    while (cursor_.next(pair)) {
      switch (pair.tag_and_type()) {
        case tag_and_type(1, kBytes): key = view(pair); break;
        case tag_and_type(2, kBytes): value = pair.get_message(); break;
        default: cursor_.other(pair, "KeyValue", {1, 2});
      }
    }
    json.string(key);
    json.raw(":");
    if (value) {
      nested_value(*value, json, depth);
    } else {
      json.raw("null");
    }
  }
  json.raw("}");
}

} // namespace coalmine::receive
