// SPDX-License-Identifier: Apache-2.0
#include "judge/judge.h"

namespace coalmine::judge {

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass: return "pass";
    case Verdict::regression: return "regression";
    case Verdict::watching: return "watching";
    case Verdict::no_data: return "no_data";
  }
  return "no_data";
}

std::string_view to_string(Cause cause) {
  switch (cause) {
    case Cause::none: return "none";
    case Cause::no_canary_data: return "no_canary_data";
    case Cause::no_stable_data: return "no_stable_data";
    case Cause::too_few_requests: return "too_few_requests";
    case Cause::interval_open: return "interval_open";
    case Cause::undecided: return "undecided";
    case Cause::source_unreachable: return "source_unreachable";
    case Cause::split_broken: return "split_broken";
    case Cause::not_measurable: return "not_measurable";
    case Cause::warming_up: return "warming_up";
    case Cause::processes_differ: return "processes_differ";
    case Cause::limit_unclear: return "limit_unclear";
  }
  return "none";
}

std::string_view to_string(Decision decision) {
  switch (decision) {
    case Decision::promote: return "promote";
    case Decision::rollback: return "rollback";
    case Decision::keep_watching: return "continue";
    case Decision::inconclusive: return "inconclusive";
  }
  return "continue";
}

std::string_view to_string(SignalKind kind) {
  switch (kind) {
    case SignalKind::error_rate: return "error_rate";
    case SignalKind::latency_quantile: return "latency_quantile";
    case SignalKind::request_share: return "request_share";
    case SignalKind::client_error_rate: return "client_error_rate";
    case SignalKind::restarts: return "restarts";
    case SignalKind::ratio: return "ratio";
    case SignalKind::mean: return "mean";
    case SignalKind::value: return "value";
  }
  return "error_rate";
}

std::string_view unit_text(SignalKind kind, ValueUnit unit) {
  if (is_share(kind)) return "ratio";
  if (kind == SignalKind::latency_quantile) return "ms";
  switch (unit) {
    case ValueUnit::number: return "count";
    case ValueUnit::ratio: return "ratio";
    case ValueUnit::millis: return "ms";
    case ValueUnit::seconds: return "s";
    case ValueUnit::bytes: return "bytes";
    case ValueUnit::per_second: return "rps";
  }
  return "count";
}

std::optional<SignalKind> signal_kind(std::string_view text) {
  for (const auto kind :
       {SignalKind::error_rate, SignalKind::latency_quantile, SignalKind::request_share,
        SignalKind::client_error_rate, SignalKind::restarts, SignalKind::ratio, SignalKind::mean,
        SignalKind::value}) {
    if (to_string(kind) == text) return kind;
  }
  return std::nullopt;
}

} // namespace coalmine::judge
