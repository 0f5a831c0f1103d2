// Questions to a telemetry store that may hang, asked by people who wait for an answer.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/lanes.h"

namespace coalmine::app {

// A question has a few seconds. After one that was not answered in time none is asked for a while:
// whoever starts a rollout does not wait for the same silence again and again. Any thread.
// Destruction waits a moment for questions under way, which use what their owner gave them: the
// owner cuts their connections off before.
class StoreQuestions {
 public:
  explicit StoreQuestions(const Clock& clock,
                          std::chrono::milliseconds patience = std::chrono::seconds(3));

  // Copies what it captures may be used after ask() has returned. nullopt: not answered.
  template <typename Answer>
  std::optional<Answer> ask(std::function<Answer()> question) {
    auto answer = std::make_shared<std::optional<Answer>>();
    const bool answered = run([answer, question = std::move(question)] { *answer = question(); });
    return answered ? std::move(*answer) : std::nullopt;
  }

 private:
  bool run(std::function<void()> question);

  const Clock& clock_;
  const std::chrono::milliseconds patience_;
  std::atomic<std::int64_t> silent_until_ms_ = 0; // steady
  Lanes lanes_;
};

} // namespace coalmine::app
