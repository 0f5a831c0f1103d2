// The span part of the protobuf decoder.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "receive/protobuf_decoder.h"

namespace coalmine::receive {
namespace {

std::size_t heap_bytes(const AttributeValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return text->capacity();
  if (const auto* raw = std::get_if<Bytes>(&value)) return raw->raw.capacity();
  if (const auto* json = std::get_if<JsonText>(&value)) return json->text.capacity();
  return 0;
}

} // namespace

void ProtobufDecoder::span(Message message) {
  SpanTable::Row row;
  IdState trace = IdState::missing;
  IdState span_id = IdState::missing;
  IdState parent = IdState::missing;
  std::uint32_t events = 0;
  auto& spans = out_.spans();
  const auto begun = spans.mark();
  spans.begin_list();
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kBytes): trace = read_id(view(message), row.trace_id); break;
      case tag_and_type(2, kBytes): span_id = read_id(view(message), row.span_id); break;
      case tag_and_type(3, kBytes): row.trace_state = span_text(message); break;
      case tag_and_type(4, kBytes): parent = read_id(view(message), row.parent_span_id); break;
      case tag_and_type(5, kBytes): row.name = span_text(message); break;
      case tag_and_type(6, kVarint): {
        const auto kind = message.get_enum();
        row.kind = kind >= 0 && kind <= 5 ? static_cast<SpanKind>(kind) : SpanKind::unspecified;
        break;
      }
      case tag_and_type(7, kFixed64): row.start_ns = message.get_fixed64(); break;
      case tag_and_type(8, kFixed64): row.end_ns = message.get_fixed64(); break;
      case tag_and_type(9, kBytes): span_attribute(message.get_message()); break;
      case tag_and_type(11, kBytes): event(message.get_message(), events); break;
      case tag_and_type(15, kBytes): status(message.get_message(), row); break;
      case tag_and_type(16, kFixed32): row.flags = message.get_fixed32(); break;
      default: cursor_.other(message, "Span", {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15, 16});
    }
  }
  if (cursor_.failed()) return;
  for (const auto& [key, value] : out_.sampling_marks()) {
    if (out_.has_room(spans.list_size(), key))
      spans.add(spans.table().pair(spans.table().text(key), value));
  }
  row.attributes = spans.end_list();
  out_.add(row, trace, span_id, parent, begun);
}

std::uint32_t ProtobufDecoder::span_text(Message& message) {
  auto& table = out_.spans().table();
  const auto count = table.table().texts.size();
  const auto number = table.text(out_.text(view(message)));
  if (table.table().texts.size() > count)
    out_.charge(sizeof(std::string) + table.table().texts.back().capacity());
  return number;
}

// Bytes seen before give the same attribute again. Attributes that were cut or dropped are decoded
// and counted anew each time.
void ProtobufDecoder::span_attribute(Message message) {
  auto& spans = out_.spans();
  const std::string_view bytes(message.data().data(), message.length());
  if (spans.list_size() < out_.limits().max_attributes && spans.add_known(bytes)) return;
  std::string_view key;
  std::optional<Message> value;
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kBytes): key = view(message); break;
      case tag_and_type(2, kBytes): value = message.get_message(); break;
      default: cursor_.other(message, "KeyValue", {1, 2});
    }
  }
  if (cursor_.failed() || !out_.has_room(spans.list_size(), key)) return;
  const auto losses = out_.losses();
  auto decoded = value ? any_value(*value) : AttributeValue();
  const auto before = spans.key_before(key);
  const auto text = before ? *before : spans.table().text(out_.text(key));
  out_.charge(sizeof(SpanTable::Pair) + heap_bytes(decoded));
  spans.add(bytes, key, text, std::move(decoded), out_.losses() == losses);
}

void ProtobufDecoder::event(Message message, std::uint32_t& count) {
  if (!out_.has_room(count, "event")) return;
  ++count;
  auto& spans = out_.spans();
  auto own = spans.set_aside();
  SpanTable::Event event;
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kFixed64): event.time_ns = message.get_fixed64(); break;
      case tag_and_type(2, kBytes): event.name = span_text(message); break;
      case tag_and_type(3, kBytes): span_attribute(message.get_message()); break;
      default: cursor_.other(message, "Event", {1, 2, 3});
    }
  }
  event.attributes = spans.end_list();
  spans.bring_back(std::move(own));
  spans.table().table().events.push_back(event);
  out_.charge(sizeof event + event.attributes.size * sizeof(std::uint32_t));
}

void ProtobufDecoder::status(Message message, SpanTable::Row& row) {
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(2, kBytes): row.status_message = span_text(message); break;
      case tag_and_type(3, kVarint): {
        const auto code = message.get_enum();
        row.status = code >= 0 && code <= 2 ? static_cast<StatusCode>(code) : StatusCode::unset;
        break;
      }
      default: cursor_.other(message, "Status", {2, 3});
    }
  }
}

} // namespace coalmine::receive
