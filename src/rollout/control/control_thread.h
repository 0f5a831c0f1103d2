// The control thread of the rollouts, as the pools beside it see it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include "rollout/machine.h"

namespace coalmine::rollout {

using Task = std::move_only_function<void()>;

// Tasks that may wait for one pool of effects.
inline constexpr std::size_t kEffectQueueLimit = 4096;

// How results of a pool get back to the thread that owns the rollouts. Const after construction;
// outlives every pool that answers through it.
struct ControlThread {
  std::function<void(Task)> post;                // runs the task on the control thread; any thread
  std::function<void(RolloutId, Event)> deliver; // on the control thread only

  // Delivers event later, on the control thread. Any thread.
  void answer(RolloutId id, Event event) const {
    post([this, id, event = std::move(event)]() mutable { deliver(id, std::move(event)); });
  }
};

} // namespace coalmine::rollout
