// SPDX-License-Identifier: Apache-2.0
#include "judge/reason.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "judge/estimate.h"
#include "judge/restart_watch.h"

namespace coalmine::judge {
namespace {

bool beyond_limit(const SignalVerdict& v) {
  return v.limits.margin.worse == Worse::lower ? *v.measured.canary < *v.limits.max
                                               : *v.measured.canary > *v.limits.max;
}

// Requests that were interpolated at window edges are fractions; 99.7 of 100 must not read "100 of
// 100".
std::string count_text(double requests) {
  return fmt::format("{:.0f}", std::floor(std::max(0.0, requests)));
}

std::string prefix(const SignalVerdict& v) {
  return v.subject.route.empty() ? v.subject.signal + ": "
                                 : v.subject.signal + " on " + v.subject.route + ": ";
}

std::string canary_text(const SignalVerdict& v) {
  return format_value(v.subject.kind, *v.measured.canary, v.subject.unit,
                      v.measured.canary_at_least);
}

std::string stable_text(const SignalVerdict& v) {
  return format_value(v.subject.kind, *v.measured.stable, v.subject.unit,
                      v.measured.stable_at_least);
}

std::string_view margin_suffix(const SignalVerdict& v) {
  switch (v.limits.margin.unit) {
    case Margin::Unit::points: return "pp";
    case Margin::Unit::percent: return "%";
    case Margin::Unit::millis: return "ms";
    case Margin::Unit::seconds: return "s";
    case Margin::Unit::bytes: return "B";
    case Margin::Unit::per_second: return "/s";
  }
  return "";
}

bool is_share(const SignalVerdict& v) {
  return judge::is_share(v.subject.kind) ||
         (is_metric(v.subject.kind) && v.subject.unit == ValueUnit::ratio);
}

// The compared number in the unit of the margin: percentage points, percent of stable, or an
// amount.
std::optional<double> compared(const SignalVerdict& v, std::optional<double> difference) {
  if (!difference) return std::nullopt;
  if (v.limits.margin.unit == Margin::Unit::points) return *difference * 100;
  if (v.limits.margin.unit != Margin::Unit::percent) return difference;
  if (!v.measured.stable || !(std::abs(*v.measured.stable) > 0) ||
      (*v.measured.stable < 0 && !is_metric(v.subject.kind)))
    return std::nullopt;
  return *difference / std::abs(*v.measured.stable) * 100;
}

// Brings an amount of the margin to the unit of compared().
double margin_scale(const Margin& margin) {
  return margin.unit == Margin::Unit::points || margin.unit == Margin::Unit::percent ? 100 : 1;
}

int digits_wanted(Margin::Unit unit, double value) {
  if (unit == Margin::Unit::points) return 2;
  const double size = std::abs(value);
  if (unit == Margin::Unit::percent) return size < 1000 ? 1 : 0;
  return size < 10 ? 2 : size < 100 ? 1 : 0;
}

// Enough digits that the rounded number is on the same side of the margin as the real one: never
// "+20.0%, allowed +20%" for a regression.
std::string difference_text(const SignalVerdict& v, double value, double allowed) {
  int digits = digits_wanted(v.limits.margin.unit, value);
  std::string text;
  for (; digits <= 9; ++digits) {
    text = fmt::format("{:+.{}f}", value, digits);
    const double shown = badness(v.limits.margin.worse, std::stod(text), 0),
                 real = badness(v.limits.margin.worse, value, 0);
    if ((shown <= allowed) == (real <= allowed)) break;
  }
  return text;
}

std::string interval_text(const SignalVerdict& v) {
  const auto lower = compared(v, v.measured.lower);
  const auto upper = compared(v, v.measured.upper);
  if (!lower || !upper) return "";
  const int digits = v.limits.margin.unit == Margin::Unit::points ? 2 : 1;
  const auto level = v.measured.level > 0
                         ? fmt::format("{:.0f}%: ", std::floor(v.measured.level * 100 + 1e-9))
                         : std::string();
  // A bound just below 0 reads +0.00.
  const auto text = [&](double value) {
    const double scale = std::pow(10, digits);
    return fmt::format("{:+.{}f}", std::round(value * scale) / scale + 0.0, digits);
  };
  return fmt::format(" ({}{} to {})", level, text(*lower), text(*upper));
}

// "p99_latency: 5.50% of requests took longer than 250 ms on canary against 2.88% on stable,
// allowed up to 4.75% (+20%)".
std::string tail_comparison(const SignalVerdict& v) {
  const auto share = [](double s) { return format_value(SignalKind::error_rate, s); };
  const auto& tail = *v.measured.tail;
  const auto boundary = format_value(SignalKind::latency_quantile, tail.boundary_ms);
  if (!(tail.allowed > 0) && v.measured.stable && v.limits.margin.unit == Margin::Unit::percent) {
    // A share of nothing says nothing about what is allowed.
    const auto millis = [](double ms) { return format_value(SignalKind::latency_quantile, ms); };
    return fmt::format(
        "{}{} of requests took longer than {} on canary against {} on stable, allowed: up to {} "
        "(stable {}, {})",
        prefix(v), share(tail.canary), boundary, share(tail.stable),
        millis(*v.measured.stable * (1 + v.limits.margin.amount)), millis(*v.measured.stable),
        to_string(v.limits.margin));
  }
  return fmt::format(
      "{}{} of requests took longer than {} on canary against {} on stable, allowed up to {} ({})",
      prefix(v), share(tail.canary), boundary, share(tail.stable), share(tail.allowed),
      v.measured.tail_by_quantile
          ? fmt::format("with more, {} is above {}", v.subject.signal, boundary)
          : to_string(v.limits.margin));
}

std::string comparison(const SignalVerdict& v) {
  if (v.measured.tail) return tail_comparison(v);
  std::string out =
      fmt::format("{}{} on canary against {} on stable", prefix(v), canary_text(v), stable_text(v));
  if (const auto shown = compared(v, v.measured.difference)) {
    const double allowed = v.limits.margin.amount * margin_scale(v.limits.margin);
    out += fmt::format(", {}{}{}", difference_text(v, *shown, allowed), margin_suffix(v),
                       interval_text(v));
  }
  out += ", allowed " + to_string(v.limits.margin);
  if (v.measured.approximate) out += " (approximate)";
  if (v.weighed && v.weighed->warming)
    out += fmt::format(" ({} while the canary warms up)",
                       to_string(Margin{Margin::Unit::points, *v.weighed->warming}));
  return out;
}

// "restarts: checkout-7d of the canary began anew 3 times in 10 minutes, none of stable's did (up
// to 2 are allowed)".
std::string restarts_sentence(const SignalVerdict& v) {
  const double canary = *v.measured.canary, stable = *v.measured.stable;
  const auto times = [](double n) { return n == 1 ? "once" : fmt::format("{:.0f} times", n); };
  return fmt::format(
      "{}{} of the canary began anew {} in {} minutes{} (up to {:g} are allowed{})", prefix(v),
      v.problem, times(canary), RestartWatch::kWindowMs / 60'000,
      stable > 0 ? fmt::format(", one of stable's {}", times(stable)) : ", none of stable's did",
      *v.limits.max, stable > 0 ? ", and more where stable's restart too" : "");
}

std::string no_data_sentence(const SignalVerdict& v) {
  if (is_metric(v.subject.kind)) {
    const bool canary = v.cause == Cause::no_canary_data;
    return fmt::format(
        "{}no value for {}{}", prefix(v), canary ? "the canary" : "stable",
        canary && v.measured.stable
            ? fmt::format("; {} on stable",
                          format_value(v.subject.kind, *v.measured.stable, v.subject.unit))
            : "");
  }
  const bool rate = v.subject.kind != SignalKind::latency_quantile;
  const std::string where = v.subject.route.empty() ? "" : " on " + v.subject.route;
  const bool of_canary = v.cause == Cause::no_canary_data;
  const double own = of_canary ? v.requests.canary : v.requests.stable;
  if (own > 0 && !rate) {
    return fmt::format(
        "No latency distribution from {}{} for {}: {} requests, their durations are unknown",
        of_canary ? "the canary" : "stable", where, v.subject.signal, count_text(own));
  }
  if (own > 0) {
    return fmt::format(
        "{}{} canary and {} stable requests, none of them counted in one interval yet", prefix(v),
        count_text(v.requests.canary), count_text(v.requests.stable));
  }
  if (!of_canary) {
    return fmt::format("No stable data{} to compare {} canary requests with", where,
                       count_text(v.requests.canary));
  }
  if (v.requests.stable > 0)
    return fmt::format("No canary data{}: stable served {} requests", where,
                       count_text(v.requests.stable));
  return fmt::format("No canary data{}, and no stable requests either", where);
}

std::string too_few_sentence(const SignalVerdict& v) {
  const std::string where = v.subject.route.empty() ? "" : " on " + v.subject.route;
  if (v.requests.canary < v.requests.required) {
    return fmt::format("{} of {:g} canary requests{} so far", count_text(v.requests.canary),
                       v.requests.required, where);
  }
  if (!(v.requests.canary > 0)) return fmt::format("No canary requests{} so far", where);
  if (v.requests.stable > 0) {
    return fmt::format("{} canary and {} stable requests{} so far, too few to compare",
                       count_text(v.requests.canary), count_text(v.requests.stable), where);
  }
  return fmt::format("No stable requests{} to compare {} canary requests with", where,
                     count_text(v.requests.canary));
}

// "4.5 of 10 minutes", "6 of 10 seconds".
std::string progress_text(double done_minutes, double needed_minutes) {
  const bool short_one = needed_minutes < 2;
  const double scale = short_one ? 60 : 1;
  const double rounding = short_one ? 1 : 10;
  return fmt::format("{:.3g} of {:.3g} {}",
                     std::floor(std::max(0.0, done_minutes) * scale * rounding) / rounding,
                     needed_minutes * scale, short_one ? "seconds" : "minutes");
}

} // namespace

std::string allowed_text(const SignalVerdict& v) {
  if (v.subject.kind == SignalKind::restarts && v.limits.max)
    return fmt::format("up to {:g}", *v.limits.max);
  return to_string(v.limits.margin);
}

std::string to_string(const Margin& margin) {
  const std::string_view sign = margin.amount < 0               ? ""
                                : margin.worse == Worse::higher ? "+"
                                : margin.worse == Worse::lower  ? "-"
                                                                : "±";
  // 10 significant digits: 0.29 * 100 is 28.999999999999996 in a double and 29 to its author.
  const auto text = [&](double amount, std::string_view unit) {
    return fmt::format("{}{:.10g}{}", sign, amount, unit);
  };
  switch (margin.unit) {
    case Margin::Unit::points: return text(margin.amount * 100, "pp");
    case Margin::Unit::percent: return text(margin.amount * 100, "%");
    case Margin::Unit::millis: return text(margin.amount, "ms");
    case Margin::Unit::seconds:
      return margin.amount < 1 ? text(margin.amount * 1000, "ms") : text(margin.amount, "s");
    case Margin::Unit::bytes:
      if (margin.amount >= 1e6) return text(margin.amount / 1e6, "MB");
      return margin.amount >= 1e3 ? text(margin.amount / 1e3, "KB") : text(margin.amount, "B");
    case Margin::Unit::per_second: return text(margin.amount, "/s");
  }
  return "";
}

namespace {

std::string bytes_text(double bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"B", "KB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  for (; unit + 1 < kUnits.size() && std::abs(bytes) >= 1000; ++unit) bytes /= 1000;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

} // namespace

std::string format_value(SignalKind kind, double value, ValueUnit unit, bool at_least) {
  std::string out = at_least ? "at least " : "";
  const double size = std::abs(value);
  if (is_metric(kind) && kind != SignalKind::ratio && unit != ValueUnit::ratio &&
      unit != ValueUnit::millis) {
    if (unit == ValueUnit::bytes) return bytes_text(value);
    return fmt::format("{:.4g}{}", value,
                       unit == ValueUnit::seconds      ? " s"
                       : unit == ValueUnit::per_second ? "/s"
                                                       : "");
  }
  if (kind == SignalKind::restarts) return fmt::format("{:.0f}", value);
  if (is_share(kind) || unit == ValueUnit::ratio) {
    // A rate below 0.01% is not 0.00%.
    return out + (size > 0 && size < 0.0001 ? fmt::format("{:.2g}%", value * 100)
                                            : fmt::format("{:.2f}%", value * 100));
  }
  const int digits = size < 10 ? 2 : size < 100 ? 1 : 0;
  return out + fmt::format("{:.{}f} ms", value, digits);
}

std::string reason_sentence(const SignalVerdict& v, const std::string& source_error) {
  if (v.subject.kind == SignalKind::restarts && v.cause == Cause::none && v.measured.canary &&
      v.measured.stable && v.limits.max)
    return restarts_sentence(v);
  switch (v.cause) {
    case Cause::source_unreachable:
      if (source_error.starts_with(kStoreSentence)) return source_error + ": nothing is decided";
      return "The telemetry store could not be reached" +
             (source_error.empty() ? std::string() : " (" + source_error + ")") +
             ": nothing is decided";
    case Cause::no_canary_data:
    case Cause::no_stable_data: return no_data_sentence(v);
    case Cause::too_few_requests: return too_few_sentence(v);
    case Cause::not_measurable: return prefix(v) + "cannot be measured: " + v.problem;
    case Cause::limit_unclear: return prefix(v) + v.problem;
    case Cause::warming_up:
      return prefix(v) + "the instances are still warming up, so their latency is not counted yet";
    case Cause::interval_open:
      return "Waiting for the next metrics export" +
             (v.problem.empty() ? std::string() : " (" + v.problem + ")");
    case Cause::processes_differ: return comparison(v) + "; " + v.problem;
    case Cause::none:
    case Cause::split_broken:
    case Cause::undecided: break;
  }
  const bool over_max =
      v.verdict == Verdict::regression && v.limits.max && v.measured.canary && beyond_limit(v);
  const bool fits = margin_fits(v.subject.kind, v.limits.margin, v.subject.unit);
  if (over_max &&
      (!v.measured.stable || !fits ||
       within_margin(v.subject.kind, v.limits.margin, *v.measured.canary, *v.measured.stable))) {
    return fmt::format("{}{} on canary, limit {}", prefix(v), canary_text(v),
                       format_value(v.subject.kind, *v.limits.max, v.subject.unit));
  }
  if (!fits) {
    return fmt::format("{}the margin {} does not fit {}, so nothing is decided", prefix(v),
                       to_string(v.limits.margin),
                       v.subject.kind == SignalKind::error_rate         ? "an error rate"
                       : is_share(v)                                    ? "a ratio"
                       : v.subject.kind == SignalKind::latency_quantile ? "a latency"
                                                                        : "what is measured");
  }
  if (v.measured.stable_is_whole) {
    return fmt::format(
        "{}{} on canary; stable does not serve this route, and has {} over all of "
        "its requests",
        prefix(v), canary_text(v), stable_text(v));
  }
  if (v.measured.canary && v.measured.stable) return comparison(v);
  if (v.measured.canary)
    return fmt::format("{}{} on canary, nothing to compare with", prefix(v), canary_text(v));
  return prefix(v) + "not enough data yet";
}

namespace {

std::string duration_words(double minutes) {
  if (minutes < 1.5)
    return fmt::format("{:.0f} seconds", std::max(5.0, std::ceil(minutes * 12) * 5));
  if (minutes < 100) return fmt::format("{:.0f} minutes", std::ceil(minutes));
  return minutes < 2880 ? fmt::format("{:.0f} hours", std::ceil(minutes / 60))
                        : fmt::format("{:.0f} days", std::ceil(minutes / 1440));
}

// The forecast of a judge that weighs evidence: the time to its earliest verdict, and the smallest
// difference that it could detect now.
std::string outlook(const Judgement& judgement, const SignalVerdict& v) {
  std::string out;
  if (judgement.minutes_left)
    out += "; earliest verdict in about " + duration_words(*judgement.minutes_left);
  if (v.outlook.detectable && v.subject.kind == SignalKind::error_rate &&
      *v.outlook.detectable < 1) {
    out += fmt::format("; detectable now, in 8 of 10 cases: {:+.2g}pp or more",
                       *v.outlook.detectable * 100);
  }
  return out;
}

} // namespace

std::string progress_sentence(const StepRequests& step) {
  auto out =
      fmt::format("{} of {:g} canary requests so far", count_text(step.counted), step.needed);
  // Else it would deny what other numbers count.
  if (std::floor(step.come) > std::floor(step.counted)) {
    out += fmt::format(
        "; {} have come, and those of the interval in which the weight moved do not "
        "count",
        count_text(step.come));
  }
  return out;
}

std::string line_sentence(const SignalVerdict& verdict) {
  return verdict.reason.empty() ? reason_sentence(verdict) : verdict.reason;
}

std::string reason_sentence(const Judgement& judgement, const SignalVerdict* deciding,
                            const GateNeeds& needs) {
  if (deciding != nullptr && deciding->cause == Cause::undecided && deciding->weighed)
    return line_sentence(*deciding) + outlook(judgement, *deciding);
  if (deciding != nullptr) return line_sentence(*deciding);
  std::string lines;
  for (const auto& line : judgement.signals) {
    if (!line.subject.gate || !can_show_good(line.subject.kind) || !line.subject.route.empty())
      continue;
    if (!lines.empty()) lines += "; ";
    lines += line.reason;
  }
  if (lines.empty()) return "No signal gates: nothing is decided";
  if (judgement.decision == Decision::promote) return lines;
  if (judgement.analysis_duration_minutes >= needs.minutes && needs.compared < needs.requests)
    return fmt::format(
        "Passing so far, but {} of the {:.0f} canary requests that this step needs were compared: "
        "{}",
        std::floor(needs.compared), needs.requests, lines);
  return fmt::format("Passing so far, {}: {}",
                     progress_text(judgement.analysis_duration_minutes, needs.minutes), lines);
}

} // namespace coalmine::judge
