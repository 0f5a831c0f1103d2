// Stand-ins for everything this room serves, filled by hand.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <mutex>

#include "promql/eval/memory_queryable.h"
#include "serve/dispatch.h"
#include "telemetry/outcome.h"

namespace coalmine::serve::test {

// Spans, metrics and instances.
class FakeStore final : public Holdings, public trace::TraceSource {
 public:
  std::vector<StoredSpan> spans;
  std::vector<MetricMetadata> described;
  std::vector<Presence> present;
  FailureRules rules;
  bool broken = false;

  const FailureRules& failures() const override { return rules; }
  std::vector<MetricMetadata> metadata() const override { return described; }
  Result<std::vector<StoredSpan>> find_spans(const SpanFilter& filter) const override {
    if (broken) return fail(ErrorCode::unavailable, "the disk does not answer");
    std::vector<StoredSpan> out;
    for (const auto& s : spans) {
      const bool fits = s.span.resource->service == filter.service &&
                        (!filter.errors_only || is_failed(s.span, rules)) &&
                        (!filter.version || s.span.resource->version == *filter.version);
      if (fits && out.size() < filter.limit) out.push_back(s);
    }
    return out;
  }
  Result<std::vector<StoredSpan>> trace(const TraceId& id) const override {
    if (broken) return fail(ErrorCode::unavailable, "the disk does not answer");
    std::vector<StoredSpan> out;
    std::ranges::copy_if(spans, std::back_inserter(out),
                         [&](const auto& s) { return s.span.trace_id == id; });
    return out;
  }
  std::vector<Presence> presence() const override { return present; }
  StoreStats stats() const override {
    return {.series = 3, .head_samples = 4, .disk_bytes = 5, .oldest_ms = 6, .newest_ms = 7};
  }
};

// Answers the canary when the selector names version "2", else stable.
class FakeCohorts final : public cohort::CohortSource {
 public:
  cohort::CohortCounts canary;
  cohort::CohortCounts stable;
  bool broken = false;

  Result<cohort::CohortCounts> counts(const cohort::CohortSelector& cohort, std::int64_t from_ms,
                                      std::int64_t to_ms) const override {
    if (broken) return fail(ErrorCode::unavailable, "connection refused");
    {
      std::lock_guard lock(mutex_);
      asked_ = {from_ms, to_ms};
    }
    const bool is_canary =
        std::ranges::any_of(cohort.matchers, [](const Matcher& m) { return m.value == "2"; });
    return is_canary ? canary : stable;
  }
  std::pair<std::int64_t, std::int64_t> asked() const {
    std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::pair<std::int64_t, std::int64_t> asked_{};
};

class FakeRollouts final : public rollout::Controller {
 public:
  void arrived(const std::string&) override {}
  void prepare_stop() override {}
  std::vector<rollout::RolloutSpec> configured;
  std::string last_command; // "7 abort by me: why"
  std::string last_start;
  std::function<void()> on_list; // called inside list(), before it is read

  void put(rollout::RolloutStatus status) {
    std::function<void(const rollout::RolloutStatus&)> tell;
    {
      std::lock_guard lock(mutex_);
      all_[status.id.value] = status;
      tell = subscriber_;
    }
    if (tell) tell(status);
  }
  bool subscribed() const {
    std::lock_guard lock(mutex_);
    return subscriber_ != nullptr;
  }

  Result<RolloutId> start(const rollout::StartRequest& request) override {
    last_start = request.service + " " + request.canary_version + " " + request.stable_version +
                 " by " + request.actor;
    if (request.service == "running")
      return fail(ErrorCode::already_exists, "running has a rollout already");
    if (request.service != "shop")
      return fail(ErrorCode::not_found, "no configured service is named " + request.service);
    return RolloutId{7};
  }
  Status command(RolloutId id, rollout::Command command, const std::string& actor,
                 const std::string& reason) override {
    static constexpr const char* kNames[] = {"pause", "resume",  "promote", "promote_full",
                                             "abort", "abandon", "undo"};
    if (command == rollout::Command::promote && reason.empty())
      return fail(ErrorCode::invalid_argument, "promote needs a reason");
    last_command = std::to_string(id.value) + " " + kNames[static_cast<int>(command)] + " by " +
                   actor + ": " + reason;
    return {};
  }
  std::vector<rollout::StatusPointer> list() const override {
    std::vector<rollout::StatusPointer> out;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [id, status] : all_)
        out.insert(out.begin(), std::make_shared<const rollout::RolloutStatus>(status));
    }
    if (on_list) on_list();
    return out;
  }
  std::optional<rollout::RolloutStatus> get(RolloutId id) const override {
    std::lock_guard lock(mutex_);
    const auto it = all_.find(id.value);
    return it == all_.end() ? std::nullopt : std::optional(it->second);
  }
  std::vector<rollout::RolloutSpec> specs() const override { return configured; }
  std::function<void()> subscribe(
      std::function<void(const rollout::RolloutStatus&)> on_change) override {
    std::lock_guard lock(mutex_);
    subscriber_ = std::move(on_change);
    return [this] {
      std::lock_guard inner(mutex_);
      subscriber_ = nullptr;
    };
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::uint64_t, rollout::RolloutStatus> all_;
  std::function<void(const rollout::RolloutStatus&)> subscriber_;
};

inline rollout::RolloutStatus rollout_status(std::uint64_t id, std::string service,
                                             std::string reason = "because") {
  rollout::RolloutStatus status;
  status.id = {id};
  status.service = std::move(service);
  status.canary_version = "2";
  status.stable_version = "1";
  status.reason = std::move(reason);
  status.log = {{.sequence = 1, .time_ms = 5, .kind = "started", .text = "begun", .actor = "cli"}};
  return status;
}

// "/path?query" with a local Host and, for POST, JSON; more replaces headers of the same name.
inline net::HttpRequest request(std::string method, const std::string& target,
                                std::string body = "", const net::Headers& more = {}) {
  const auto question = target.find('?');
  net::HttpRequest out;
  out.method = std::move(method);
  out.path = target.substr(0, question);
  out.query = question == std::string::npos ? "" : target.substr(question + 1);
  out.headers = {{"Host", "localhost:7070"}};
  if (out.method == "POST") out.headers.emplace_back("Content-Type", "application/json");
  for (const auto& header : more) {
    std::erase_if(out.headers, [&](const auto& h) { return h.first == header.first; });
    out.headers.push_back(header);
  }
  out.body = std::move(body);
  return out;
}
inline net::HttpRequest form(const std::string& target, std::string body) {
  return request("POST", target, std::move(body),
                 {{"Content-Type", "application/x-www-form-urlencoded"}});
}

class World : public ::testing::Test {
 protected:
  World() { options_.version = "1.2.3"; }

  net::HttpResponse ask(const net::HttpRequest& r) const {
    return Dispatch(options_, deps_, options_.listen).handle(r);
  }
  boost::json::value ask_json(const net::HttpRequest& r, int status = 200) const {
    const auto answer = ask(r);
    EXPECT_EQ(answer.status, status) << r.path << " " << answer.body;
    boost::system::error_code bad;
    auto value = boost::json::parse(answer.body, bad);
    EXPECT_FALSE(bad) << answer.body;
    return value;
  }
  // data of a Prometheus answer, serialized.
  std::string data(const std::string& target) const {
    return boost::json::serialize(ask_json(request("GET", target)).at("data"));
  }

  FakeStore store_;
  promql::MemoryQueryable queryable_;
  FakeCohorts cohorts_;
  FakeRollouts rollouts_;
  ManualClock clock_{1'000'000};
  SelfMetrics metrics_;
  Options options_;
  Deps deps_{store_, store_, queryable_, cohorts_, rollouts_, clock_, metrics_, {}, {}, {}};
};

} // namespace coalmine::serve::test
