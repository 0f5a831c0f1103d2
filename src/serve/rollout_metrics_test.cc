// SPDX-License-Identifier: Apache-2.0
#include "serve/rollout_metrics.h"

#include "serve/world_for_test.h"

namespace coalmine::serve {
namespace {

using test::rollout_status;

TEST(RolloutMetrics, RunningOnesAndTheNewestOfEachService) {
  test::FakeRollouts rollouts;
  SelfMetrics metrics;
  register_rollout_metrics(metrics, rollouts);
  auto old = rollout_status(1, "shop");
  old.phase = rollout::Phase::promoted;
  rollouts.put(old);
  auto last = rollout_status(2, "shop");
  last.phase = rollout::Phase::rolled_back;
  last.step = 1;
  last.weight_asked = 0.25;
  last.weight_applied = 0;
  last.observed_split = 0.01;
  judge::SignalVerdict signal;
  signal.subject.signal = "error_rate";
  signal.verdict = judge::Verdict::regression;
  judge::Judgement judgement;
  judgement.decision = judge::Decision::rollback;
  judgement.signals = {signal};
  judgement.reason = "a sentence";
  judgement.analysis_duration_minutes = 1;
  last.judgement = std::make_shared<const judge::Judgement>(judgement);
  rollouts.put(last);
  rollouts.put(rollout_status(3, "cart"));
  const auto text = metrics.render();
  EXPECT_EQ(text.find("rollout=\"1\""), std::string::npos) << text;
  for (const auto* line : {
           R"(coalmine_rollout_info{service_name="shop",)"
           R"(rollout="2",canary_version="2",stable_version="1",)"
           R"(phase="rolled_back",decision="rollback",reason="error_rate"} 1)",
           R"(coalmine_rollout_info{service_name="cart",)"
           R"(rollout="3",canary_version="2",stable_version="1",)"
           R"(phase="progressing",decision="",reason=""} 1)",
           R"(coalmine_rollout_step{service_name="shop",rollout="2"} 1)",
           R"(coalmine_rollout_weight_ratio{service_name="shop",rollout="2",kind="desired"} 0.25)",
           R"(coalmine_rollout_weight_ratio{service_name="shop",rollout="2",kind="applied"} 0)",
           R"(coalmine_rollout_weight_ratio{service_name="shop",rollout="2",kind="observed"} 0.01)",
       }) {
    EXPECT_NE(text.find(std::string(line) + "\n"), std::string::npos) << line << "\n" << text;
  }
  EXPECT_EQ(text.find("rollout=\"3\",kind=\"observed\""), std::string::npos);
}

} // namespace
} // namespace coalmine::serve
