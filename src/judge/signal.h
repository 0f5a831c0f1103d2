// The compared signals and their allowed margins: the vocabulary of evidence, judges and verdicts.
// Values; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace coalmine::judge {

// ratio: part of a whole, both counted (conversions of checkouts). mean: a sum over a count (the
// value of an order). value: any number that is read now and then (a gauge, a PromQL expression).
// These three apply to the service, never to a route. request_share: the part of a track's requests
// that goes to a route; for routes only, and for the sequential judge only. client_error_rate: the
// part of requests that was answered with 4xx; it can be a regression, but no promotion waits for
// it, and where HTTP statuses are not known it has no line. restarts: how often a process of the
// canary began anew in ten minutes under a name that it keeps; more than `max` is a regression
// where no process of stable did; for the service, and for the sequential judge only.
enum class SignalKind {
  error_rate,
  latency_quantile,
  request_share,
  client_error_rate,
  restarts,
  ratio,
  mean,
  value
};
inline bool is_metric(SignalKind kind) { return kind >= SignalKind::ratio; }
// Whether the service always has a line of it, which promotion may wait for. The others show a bad
// canary and no good one.
inline bool can_show_good(SignalKind kind) {
  return kind != SignalKind::request_share && kind != SignalKind::client_error_rate &&
         kind != SignalKind::restarts;
}
// A part of a whole, 0 to 1.
inline bool is_share(SignalKind kind) {
  return kind == SignalKind::error_rate || kind == SignalKind::request_share ||
         kind == SignalKind::client_error_rate || kind == SignalKind::ratio;
}
std::string_view to_string(SignalKind kind);
std::optional<SignalKind> signal_kind(std::string_view text);

// Which way is worse.
enum class Worse { higher, lower, either };
// The unit of a mean or a value. A ratio is a share, 0 to 1.
enum class ValueUnit { number, ratio, millis, seconds, bytes, per_second };
// As in the config file: count, ratio, ms, s, bytes, rps.
std::string_view unit_text(SignalKind kind, ValueUnit unit);

// How much worse is allowed. points: +0.5pp is 0.005 absolute. percent: +20% is 0.20 of stable's
// value. The others are amounts in the unit of the value: +25ms is 25 of millis and 0.025 of
// seconds.
struct Margin {
  enum class Unit { points, percent, millis, seconds, bytes, per_second } unit = Unit::points;
  double amount = 0; // not negative
  Worse worse = Worse::higher;
};
// "+0.5pp", "-20%", "+25ms": shown exactly as a user would write it; "±5%" where either way is
// worse.
std::string to_string(const Margin& margin);

struct SignalSpec {
  std::string name; // error_rate, p99_latency
  SignalKind kind = SignalKind::error_rate;
  double quantile = 0.99; // latency_quantile
  Margin margin;
  // Absolute limit, independent of stable (ratio, ms, or the unit); a minimum where lower is worse.
  std::optional<double> max;
  bool gate = true; // false: shown, decides nothing
  bool per_route = true;
  // sequential only. automatic: the margin follows stable's own rate (see default_error_margin);
  // margin is then shown only until stable is known. if_decidable: a regression always counts, but
  // promotion waits for this signal only when the planned traffic can decide it. floor: differences
  // below it (a ratio, or milliseconds) never count.
  bool automatic = false;
  bool if_decidable = false;
  double floor = 0;
  ValueUnit unit = ValueUnit::number; // of a mean or a value
};

} // namespace coalmine::judge
