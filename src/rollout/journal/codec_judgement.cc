// Judgements in the journal. Grammar:
//   judgement  {"decision", "reason", "analysis_duration_minutes", "signals": [line…]}
//   line       the members that line_fields() lists, in its order, then "reason"
// What only the page shows while a look is fresh (evidence, outlook, tails, dispersion, trial,
// guarantee) is not kept.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <boost/json.hpp>

#include "base/json_text.h"
#include "judge/reason.h"
#include "rollout/journal/codec.h"
#include "rollout/journal/codec_words.h"

namespace coalmine::rollout {
namespace {

namespace json = boost::json;

constexpr auto kJudgeWord = [](auto value) { return judge::to_string(value); };

// Each line of fields once, for writing and for reading. Margins are spelled like this in the spec
// of a signal too (codec_spec.cc).
template <typename Margin, typename Field>
void margin_fields(Margin& margin, const Field& field) {
  field("margin_unit", margin.unit);
  field("margin_amount", margin.amount);
  field("margin_worse", margin.worse);
}

template <typename Line, typename Field>
void line_fields(Line& line, const Field& field) {
  field("signal", line.subject.signal);
  field("route", line.subject.route);
  field("kind", line.subject.kind);
  field("unit", line.subject.unit);
  field("approximate", line.measured.approximate);
  field.unless_empty("problem", line.problem);
  field("gate", line.subject.gate);
  field("verdict", line.verdict);
  field("cause", line.cause);
  field("canary", line.measured.canary);
  field("stable", line.measured.stable);
  field("difference", line.measured.difference);
  field("relative", line.measured.relative);
  field("lower", line.measured.lower);
  field("upper", line.measured.upper);
  field("level", line.measured.level);
  field("max", line.limits.max);
  field("required_requests", line.requests.required);
  field("canary_at_least", line.measured.canary_at_least);
  field("stable_at_least", line.measured.stable_at_least);
  margin_fields(line.limits.margin, field);
  field("canary_requests", line.requests.canary);
  field("stable_requests", line.requests.stable);
}

// Kinds, verdicts and causes are kept as words; units and directions as the numbers they always
// were.
struct FieldWriter {
  json::object& o;
  void operator()(std::string_view key, const std::string& value) const {
    put(key, json_string(value));
  }
  void operator()(std::string_view key, bool value) const { put(key, value); }
  void operator()(std::string_view key, double value) const { put(key, value); }
  void operator()(std::string_view key, const std::optional<double>& value) const {
    put(key, json_number(value));
  }
  void operator()(std::string_view key, judge::SignalKind value) const { put_word(key, value); }
  void operator()(std::string_view key, judge::Verdict value) const { put_word(key, value); }
  void operator()(std::string_view key, judge::Cause value) const { put_word(key, value); }
  void operator()(std::string_view key, judge::ValueUnit value) const { put_number(key, value); }
  void operator()(std::string_view key, judge::Margin::Unit value) const { put_number(key, value); }
  void operator()(std::string_view key, judge::Worse value) const { put_number(key, value); }
  void unless_empty(std::string_view key, const std::string& value) const {
    if (!value.empty()) (*this)(key, value);
  }

 private:
  void put(std::string_view key, json::value value) const {
    o[json::string_view(key.data(), key.size())] = std::move(value);
  }
  template <typename Enum>
  void put_word(std::string_view key, Enum value) const {
    put(key, json_string(judge::to_string(value)));
  }
  template <typename Enum>
  void put_number(std::string_view key, Enum value) const {
    put(key, static_cast<int>(value));
  }
};

// A member that is missing or of another type leaves the default in place.
struct FieldReader {
  const json::object& o;
  void operator()(std::string_view key, std::string& value) const { value = get_text(o, key); }
  void operator()(std::string_view key, bool& value) const { value = get_bool(o, key, value); }
  void operator()(std::string_view key, double& value) const { value = get_double(o, key); }
  void operator()(std::string_view key, std::optional<double>& value) const {
    value = get_optional(o, key);
  }
  void operator()(std::string_view key, judge::SignalKind& value) const {
    value = judge::signal_kind(get_text(o, key)).value_or(judge::SignalKind::error_rate);
  }
  void operator()(std::string_view key, judge::Verdict& value) const {
    value = from_word(get_text(o, key), kVerdicts, kJudgeWord);
  }
  void operator()(std::string_view key, judge::Cause& value) const {
    value = from_word(get_text(o, key), kCauses, kJudgeWord);
  }
  void operator()(std::string_view key, judge::ValueUnit& value) const {
    value = number(key, judge::ValueUnit::per_second);
  }
  void operator()(std::string_view key, judge::Margin::Unit& value) const {
    value = number(key, judge::Margin::Unit::per_second);
  }
  void operator()(std::string_view key, judge::Worse& value) const {
    value = number(key, judge::Worse::either);
  }
  void unless_empty(std::string_view key, std::string& value) const { (*this)(key, value); }

 private:
  template <typename Enum>
  Enum number(std::string_view key, Enum last) const {
    const auto highest = static_cast<std::int64_t>(last);
    return static_cast<Enum>(std::clamp<std::int64_t>(get_int(o, key), 0, highest));
  }
};

json::value line_value(const judge::SignalVerdict& line) {
  json::object o;
  line_fields(line, FieldWriter{o});
  o["reason"] = json_string(judge::line_sentence(line));
  return o;
}

judge::SignalVerdict line_from(const json::object& o) {
  judge::SignalVerdict line;
  line_fields(line, FieldReader{o});
  line.reason = get_text(o, "reason");
  return line;
}

} // namespace

void put_margin(json::object& o, const judge::Margin& margin) {
  margin_fields(margin, FieldWriter{o});
}

judge::Margin margin_from(const json::object& o) {
  judge::Margin out;
  margin_fields(out, FieldReader{o});
  return out;
}

json::value judgement_value(const judge::Judgement& judgement) {
  json::object o;
  o["decision"] = json_string(judge::to_string(judgement.decision));
  o["reason"] = json_string(judgement.reason);
  o["analysis_duration_minutes"] = judgement.analysis_duration_minutes;
  json::array lines;
  for (const auto& line : judgement.signals) lines.push_back(line_value(line));
  o["signals"] = std::move(lines);
  return o;
}

judge::Judgement judgement_from(const json::object& object) {
  judge::Judgement judgement;
  judgement.decision = from_word(get_text(object, "decision"), kDecisions, kJudgeWord);
  judgement.reason = get_text(object, "reason");
  judgement.analysis_duration_minutes = get_double(object, "analysis_duration_minutes");
  if (const auto* signals = get_array(object, "signals")) {
    std::vector<judge::SignalVerdict> lines;
    for (const auto& line : *signals) {
      if (const auto* o = line.if_object()) lines.push_back(line_from(*o));
    }
    judgement.signals = std::move(lines);
  }
  return judgement;
}

} // namespace coalmine::rollout
