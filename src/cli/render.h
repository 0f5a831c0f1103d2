// The server's JSON (docs/http-api.md) as text for a terminal. Pure: golden tests pin every form.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace coalmine::cli {

struct Style {
  bool color = false;
  bool utc = false;
  std::int64_t now_ms = 0;
};

// A verdict as `analyze` prints it: one header line, the reason, a line per metric, the requests.
std::string verdict_text(const boost::json::value& verdict, const Style& style);
// The verdict as a JUnit file: a test suite for the service, a case for each metric; a regression
// fails, an undecided metric is skipped, a store that cannot be reached is an error.
std::string verdict_junit(const boost::json::value& verdict);
// The verdict as Markdown for a job's summary.
std::string verdict_markdown(const boost::json::value& verdict);
// One workflow command of GitHub Actions, or "" when there is nothing to point at.
std::string verdict_annotation(const boost::json::value& verdict);
// A rollout as `rollout status` prints it.
std::string rollout_text(const boost::json::value& rollout, const Style& style);
// One line of `rollout list` per rollout.
std::string rollouts_text(const boost::json::array& rollouts, const Style& style);
// The seed's print block, line for line, with its empty line at the end.
std::string failure_text(const boost::json::value& failure);
// The command that lists the requests behind a rollback; "" where those are no failures: all that
// regressed is known, and no error rate is among it.
std::string failures_command(const boost::json::value& judgement, std::string_view service,
                             std::string_view version);

// The exit code for an answer (docs/cli.md, exit codes).
int exit_for_verdict(const boost::json::value& verdict);
int exit_for_rollout(const boost::json::value& rollout);

} // namespace coalmine::cli
