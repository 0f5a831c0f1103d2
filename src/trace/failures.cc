// SPDX-License-Identifier: Apache-2.0
#include "trace/failures.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "telemetry/outcome.h"
#include "telemetry/route_name.h"

namespace coalmine::trace {
namespace {

// Traces whose errors were all handled are no failures. So more traces may be fetched than are
// wanted, but at most this many.
constexpr std::size_t kMaxFetched = 10'000;
// Traces that are read at once: each read walks the list of all segments.
constexpr std::size_t kTracesAtOnce = 64;
// Parents are followed at most this far up. A deeper trace has a cycle of parent ids or is
// unreadable.
constexpr std::size_t kMaxDepth = 1000;

bool is_entry_kind(const Span& span) {
  return span.kind == SpanKind::server || span.kind == SpanKind::consumer;
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// The spans of one trace, and queries about them.
class Trace {
 public:
  Trace(const std::vector<StoredSpan>& spans, const FailureFilter& filter,
        const FailureRules& rules)
      : spans_(spans), filter_(filter), rules_(rules) {
    for (const auto& s : spans_) by_id_.emplace(s.span.span_id, &s);
  }

  // Failed spans of the cohort, deepest first. A span with status Ok has handled the errors below
  // it, and so has a request whose HTTP status says that it did not fail.
  std::vector<const StoredSpan*> failed() const {
    std::vector<std::pair<std::size_t, const StoredSpan*>> found;
    for (const auto& s : spans_) {
      if (!in_cohort(s) || !is_failed(s.span, rules_)) continue;
      const auto above = ancestors(s);
      const bool handled = std::ranges::any_of(
          above, [&](const auto* a) { return a->span.status == StatusCode::ok && in_cohort(*a); });
      if (!handled && !answered_well(s, above)) found.emplace_back(above.size(), &s);
    }
    std::ranges::stable_sort(found, [](const auto& a, const auto& b) {
      if (a.first != b.first) return a.first > b.first;
      // The span that failed first caused the others.
      return a.second->span.end_ns < b.second->span.end_ns;
    });
    std::vector<const StoredSpan*> out;
    for (const auto& [depth, span] : found) out.push_back(span);
    return out;
  }

  // The request that failed: the outermost failed SERVER or CONSUMER span around the error; else
  // the nearest one; else the cohort's topmost span, where the instrumentation has no entry spans.
  const StoredSpan& entry_of(const StoredSpan& error) const {
    const StoredSpan* outermost_failed = nullptr;
    const StoredSpan* nearest = nullptr;
    const StoredSpan* local_root = &error;
    bool unbroken = true;
    auto chain = ancestors(error);
    chain.insert(chain.begin(), &error);
    for (const auto* s : chain) {
      unbroken = unbroken && in_cohort(*s);
      if (unbroken) local_root = s;
      if (!in_cohort(*s) || !is_entry_kind(s->span)) continue;
      if (nearest == nullptr) nearest = s;
      if (is_failed(s->span, rules_)) outermost_failed = s;
    }
    if (outermost_failed != nullptr) return *outermost_failed;
    return nearest != nullptr ? *nearest : *local_root;
  }

 private:
  // Whether the cohort's request that the error belongs to was answered with an HTTP status and is
  // not counted as failed.
  bool answered_well(const StoredSpan& error, const std::vector<const StoredSpan*>& above) const {
    if (error.span.kind == SpanKind::server) return false; // it is the request
    const auto request = std::ranges::find_if(
        above, [&](const auto* s) { return s->span.kind == SpanKind::server && in_cohort(*s); });
    return request != above.end() && http_status_of((*request)->span.attributes) != 0 &&
           !is_failed((*request)->span, rules_);
  }

  bool in_cohort(const StoredSpan& s) const {
    const auto* r = s.span.resource.get();
    return r != nullptr && r->service == filter_.service &&
           (filter_.version.empty() || r->version == filter_.version) &&
           (filter_.track.empty() || r->track == filter_.track);
  }

  // A client and a server span may have one id (Zipkin). Then the client span, which is the
  // caller's, is the parent of the server span, and what the callee did is below the server span.
  const StoredSpan* parent(const StoredSpan& of) const {
    if (of.span.kind == SpanKind::server) {
      const auto [begin, end] = by_id_.equal_range(of.span.span_id);
      for (auto it = begin; it != end; ++it) {
        if (it->second->span.kind == SpanKind::client) return it->second;
      }
    }
    const StoredSpan* best = nullptr;
    const auto [begin, end] = by_id_.equal_range(of.span.parent_span_id);
    for (auto it = begin; it != end; ++it) {
      const auto* s = it->second;
      if (s == &of) continue;
      if (best == nullptr || nearness(*s, of) > nearness(*best, of)) best = s;
    }
    return best;
  }

  static int nearness(const StoredSpan& parent, const StoredSpan& child) {
    const auto* a = parent.span.resource.get();
    const auto* b = child.span.resource.get();
    if (a == nullptr || b == nullptr || a->service != b->service) return 0;
    return a->instance == b->instance ? 2 : 1;
  }

  // The ancestors, from the parent up.
  std::vector<const StoredSpan*> ancestors(const StoredSpan& of) const {
    std::vector<const StoredSpan*> out;
    for (const auto* next = parent(of); next != nullptr && out.size() < kMaxDepth;
         next = parent(*next)) {
      if (next == &of || (!out.empty() && out.back() == next)) break;
      out.push_back(next);
    }
    return out;
  }

  const std::vector<StoredSpan>& spans_;
  const FailureFilter& filter_;
  const FailureRules& rules_;
  std::multimap<SpanId, const StoredSpan*> by_id_;
};

bool take_exception(const Attributes& attributes, FailedSpan& out) {
  auto type = attribute_text(attributes, "exception.type");
  auto message = attribute_text(attributes, "exception.message");
  if (type.empty() && message.empty()) return false;
  out.exception_type = std::move(type);
  out.exception_message = std::move(message);
  return true;
}

// Takes the exception from the last event named "exception", because that one left the span. Newer
// SDKs send a log record instead.
FailedSpan describe(const StoredSpan& stored) {
  FailedSpan out;
  out.name = stored.span.name;
  const auto& events = stored.span.events;
  for (auto it = events.rbegin(); it != events.rend(); ++it) {
    if (it->name == "exception" && take_exception(it->attributes, out)) return out;
  }
  for (auto it = stored.logs.rbegin(); it != stored.logs.rend(); ++it) {
    if (take_exception(it->attributes, out)) return out;
  }
  return out;
}

std::string http_status(const Span& span) {
  for (const auto* name : {"http.response.status_code", "http.status_code"}) {
    if (auto text = attribute_text(span.attributes, name); !text.empty()) return text;
  }
  return "";
}

// The status message is empty where the HTTP status says enough. Then the next best text is shown.
std::string error_text(const StoredSpan& entry, const std::vector<const StoredSpan*>& failed,
                       const std::vector<FailedSpan>& described, const FailureRules& rules) {
  if (is_failed(entry.span, rules) && !entry.span.status_message.empty())
    return entry.span.status_message;
  for (const auto* s : failed) {
    if (!s->span.status_message.empty()) return s->span.status_message;
  }
  for (const auto& d : described) {
    if (!d.exception_message.empty()) return d.exception_message;
  }
  for (const auto& d : described) {
    if (!d.exception_type.empty()) return d.exception_type;
  }
  for (const auto* s : failed) {
    // HTTP instrumentation writes the status code here: "HTTP 500" says it better.
    if (auto type = attribute_text(s->span.attributes, "error.type");
        !type.empty() && !all_digits(type))
      return type;
  }
  if (const auto code = http_status(entry.span); !code.empty()) return "HTTP " + code;
  for (const auto* s : failed) {
    if (const auto code = http_status(s->span); !code.empty()) return "HTTP " + code;
  }
  return "error without a message";
}

std::string endpoint_of(const Span& entry) {
  auto route = attribute_text(entry.attributes, "http.route");
  if (!route.empty()) return route;
  if (const auto named = route_in_name(entry.name); !named.empty()) return std::string(named);
  return entry.name.empty() ? "unknown" : entry.name;
}

// nullopt when every error of the trace was handled.
std::optional<Failure> explain(const std::vector<StoredSpan>& spans, const FailureFilter& filter,
                               const FailureRules& rules) {
  const Trace trace(spans, filter, rules);
  const auto failed = trace.failed();
  if (failed.empty()) return std::nullopt;
  const auto& entry = trace.entry_of(*failed.front());
  Failure out;
  out.trace_id = entry.span.trace_id;
  out.time_ms = ns_to_ms(entry.span.start_ns);
  if (entry.span.end_ns > entry.span.start_ns)
    out.duration_ms = static_cast<double>(entry.span.end_ns - entry.span.start_ns) / 1e6;
  out.endpoint = endpoint_of(entry.span);
  out.version = entry.span.resource->version;
  out.track = entry.span.resource->track;
  for (const auto* s : failed) out.failed_spans.push_back(describe(*s));
  out.error = error_text(entry, failed, out.failed_spans, rules);
  return out;
}

SpanFilter span_filter(const FailureFilter& filter, std::size_t limit) {
  SpanFilter out;
  out.service = filter.service;
  if (!filter.version.empty()) out.version = filter.version;
  if (!filter.track.empty()) out.track = filter.track;
  out.errors_only = true;
  out.from_ms = filter.from_ms;
  out.to_ms = filter.to_ms;
  out.limit = limit;
  return out;
}

} // namespace

namespace {

// Explains the traces of `found` that are not explained yet, until `wanted` failures are there.
Status explain_all(const TraceSource& traces, const FailureFilter& filter,
                   const std::vector<StoredSpan>& found, std::size_t wanted,
                   std::set<TraceId>& explained, std::vector<Failure>& out) {
  for (auto next = found.begin(); next != found.end() && out.size() < wanted;) {
    if (filter.give_up && filter.give_up()) {
      return fail(ErrorCode::deadline_exceeded,
                  "the search for failures took too long; ask for fewer (limit), or for a shorter "
                  "time (from_ms, to_ms)");
    }
    std::vector<const StoredSpan*> some;
    std::vector<TraceId> ids;
    for (; next != found.end() && ids.size() < std::min(kTracesAtOnce, wanted - out.size());
         ++next) {
      if (!explained.insert(next->span.trace_id).second) continue;
      some.push_back(&*next);
      ids.push_back(next->span.trace_id);
    }
    TRY_ASSIGN(auto whole, traces.traces(ids));
    for (std::size_t i = 0; i < some.size(); ++i) {
      if (whole[i].empty()) whole[i].push_back(*some[i]); // dropped by retention meanwhile
      if (auto failure = explain(whole[i], filter, traces.failures()))
        out.push_back(std::move(*failure));
    }
  }
  return {};
}

} // namespace

Result<std::vector<Failure>> find_failures(const TraceSource& traces, const FailureFilter& filter) {
  if (filter.service.empty())
    return fail(ErrorCode::invalid_argument, "failures of which service? service is empty");
  std::vector<Failure> out;
  const std::size_t wanted = std::min(filter.limit, kMaxFetched);
  // Kept by id and not by index, because newer spans may arrive between two fetches.
  std::set<TraceId> explained;
  for (std::size_t fetch = wanted; wanted > 0; fetch = std::min(fetch * 4, kMaxFetched)) {
    TRY_ASSIGN(const auto found, traces.find_spans(span_filter(filter, fetch)));
    TRY(explain_all(traces, filter, found, wanted, explained, out));
    if (out.size() >= wanted || found.size() < fetch || fetch == kMaxFetched) break;
  }
  std::ranges::stable_sort(out, [](const Failure& a, const Failure& b) {
    return a.time_ms != b.time_ms ? a.time_ms > b.time_ms : a.trace_id < b.trace_id;
  });
  return out;
}

} // namespace coalmine::trace
