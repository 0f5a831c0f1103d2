// No sentence denies what was counted.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "judge/judge.h"
#include "judge/reason.h"

namespace coalmine::judge {
namespace {

// In the first minute no cell is closed: what has come of each track is said as it is.
TEST(FirstCell, NoSentenceIsFalse) {
  const auto come = [](double requests) {
    return TrackCounts{.has_data = requests >= 0, .requests = std::max(0.0, requests)};
  };
  struct Case {
    double canary; // requests; negative: nothing has come
    double stable;
    double required;
    Verdict verdict;
    Cause cause;
    const char* reason;
  };
  const Case cases[] = {
      {-1, -1, 100, Verdict::no_data, Cause::no_canary_data,
       "No canary data, and no stable requests either"},
      {-1, 40, 100, Verdict::no_data, Cause::no_canary_data,
       "No canary data: stable served 40 requests"},
      {12, -1, 100, Verdict::no_data, Cause::no_stable_data,
       "No stable data to compare 12 canary requests with"},
      {12, 40, 100, Verdict::watching, Cause::too_few_requests, "12 of 100 canary requests so far"},
      {12, 40, 10, Verdict::watching, Cause::interval_open, "Waiting for the next metrics export"},
      {0, 40, 100, Verdict::watching, Cause::too_few_requests, "0 of 100 canary requests so far"},
      {0, 40, 0, Verdict::watching, Cause::too_few_requests, "No canary requests so far"},
      {0, 0, 100, Verdict::watching, Cause::too_few_requests, "0 of 100 canary requests so far"},
      {200, 0, 100, Verdict::watching, Cause::too_few_requests,
       "No stable requests to compare 200 canary requests with"},
  };
  // One judge for all: a look between cells answers what is asked now.
  const auto sequential = make_sequential_judge(sequential_defaults());
  for (const auto& c : cases) {
    Evidence evidence;
    evidence.canary = come(c.canary);
    evidence.stable = come(c.stable);
    evidence.step_min_requests = c.required;
    evidence.step_requests = std::max(0.0, c.canary);
    const auto judgement = sequential->judge(evidence);
    EXPECT_EQ(judgement.decision, Decision::keep_watching);
    EXPECT_EQ(judgement.reason, c.reason);
    for (const auto& line : judgement.signals) {
      EXPECT_EQ(to_string(line.verdict), to_string(c.verdict)) << c.reason;
      EXPECT_EQ(to_string(line.cause), to_string(c.cause)) << c.reason;
      EXPECT_EQ(line.requests.canary, std::max(0.0, c.canary));
      EXPECT_EQ(line.requests.stable, std::max(0.0, c.stable));
    }
  }
}

// Of 186 requests, 100 came in the cell in which the weight moved. Once it closed, "186 of 200"
// fell to "86 of 200".
TEST(Progress, CountsWhatIsComparedAndDeniesNothing) {
  const auto judge = make_sequential_judge(sequential_defaults());
  const auto told = [&](double come, double compared, double awaited, bool cell) {
    Evidence evidence;
    evidence.canary = {.has_data = true, .requests = come};
    evidence.stable = {.has_data = true, .requests = 1'000};
    evidence.step_min_requests = 200;
    evidence.step_requests = compared;
    evidence.step_awaited = awaited;
    if (cell) {
      CountCell mixed;
      mixed.to_ms = 60'000;
      mixed.mixed = true;
      mixed.total.canary.requests = 100;
      mixed.total.stable.requests = 900;
      evidence.cells = {mixed};
    }
    return judge->judge(evidence).reason;
  };
  const std::string beside =
      " have come, and those of the interval in which the weight moved do "
      "not count";
  EXPECT_EQ(told(86, 0, 0, false), "0 of 200 canary requests so far; 86" + beside);
  EXPECT_EQ(told(186, 0, 86, true), "86 of 200 canary requests so far; 186" + beside);
  EXPECT_EQ(told(196, 0, 96, false), "96 of 200 canary requests so far; 196" + beside)
      << "between two cells too";
  // A later step: those of the steps before are none of it.
  EXPECT_EQ(told(3, 2, 1, false), "3 of 200 canary requests so far");
}

// Stable reports each minute: in the first one of a step its next export is due, not missing.
TEST(FirstCell, AnExportThatIsDueIsNoLackOfData) {
  struct Case {
    bool canary;
    double canary_requests;
    bool stable;
    double stable_requests;
  };
  const Case cases[] = {{false, 0, false, 0}, {true, 184, false, 0}, {false, 0, true, 1674}};
  auto options = sequential_defaults();
  const auto sequential = make_sequential_judge(options);
  const auto threshold = make_threshold_judge(seed_defaults());
  for (auto* judge : {sequential.get(), threshold.get()}) {
    for (const auto& c : cases) {
      Evidence evidence;
      evidence.canary = {.has_data = c.canary, .requests = c.canary_requests};
      evidence.stable = {.has_data = c.stable, .requests = c.stable_requests};
      evidence.export_due = true;
      evidence.export_interval_seconds = 60;
      const auto due = judge->judge(evidence);
      EXPECT_EQ(due.decision, Decision::keep_watching);
      EXPECT_EQ(due.reason, "Waiting for the next metrics export (every 60 s)") << judge->name();
      EXPECT_EQ(due.signals[0].verdict, Verdict::watching);
      evidence.export_due = false; // it is late: now the lack is told
      EXPECT_EQ(judge->judge(evidence).signals[0].verdict, Verdict::no_data) << judge->name();
    }
  }
}

// Whatever a line lacks, its sentence denies nothing that was counted.
TEST(Reason, DeniesNoRequestThatWasCounted) {
  for (const auto cause : {Cause::no_canary_data, Cause::no_stable_data, Cause::too_few_requests}) {
    for (const auto kind : {SignalKind::error_rate, SignalKind::latency_quantile}) {
      for (const auto* route : {"", "/pay"}) {
        for (const double canary : {0.0, 184.0}) {
          for (const double stable : {0.0, 1674.0}) {
            SignalVerdict v;
            v.subject = {.signal = "x", .route = route, .kind = kind};
            v.cause = cause;
            v.requests = {.canary = canary, .stable = stable, .required = 100};
            const auto text = reason_sentence(v);
            const auto denies = [&](const std::string& what) {
              return text.find(what) != std::string::npos;
            };
            EXPECT_FALSE(canary > 0 && (denies("No canary data") || denies("No canary requests")))
                << text;
            EXPECT_FALSE(stable > 0 && (denies("No stable data") || denies("No stable requests") ||
                                        denies("no stable")))
                << text;
          }
        }
      }
    }
  }
}

} // namespace
} // namespace coalmine::judge
