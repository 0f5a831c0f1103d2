// SPDX-License-Identifier: Apache-2.0
#include "serve/events.h"

#include <fmt/format.h>

#include <chrono>

#include "rollout/json.h"
#include "serve/own_api.h"

namespace coalmine::serve {
namespace {

constexpr std::size_t kMaxStreams = 256;
constexpr std::chrono::seconds kHeartbeat{15};

std::string event_of(const rollout::RolloutStatus& status) {
  return fmt::format("event: rollout\ndata: {}\n\n", rollout::rollout_json(status, false));
}

} // namespace

EventStreams::EventStreams(rollout::Controller& rollouts)
    : rollouts_(rollouts),
      unsubscribe_(rollouts.subscribe([this](const rollout::RolloutStatus& status) { send_to_all(event_of(status)); })),
      heart_([this] { beat(); }) {}

EventStreams::~EventStreams() {
  unsubscribe_();
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  heart_.join();
}

void EventStreams::open(std::unique_ptr<net::Responder> responder) {
  {
    std::lock_guard lock(mutex_);
    if (streams_.size() >= kMaxStreams) {
      return responder->send(error_response({ErrorCode::unavailable, fmt::format("{} event streams are open already", kMaxStreams)}));
    }
  }
  auto stream = responder->start_stream({.status = 200,
                                         .headers = {{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}},
                                         .body = {}});
  if (!stream) return;
  // The rollouts are read after the stream is known, so that no change between falls through; one told twice does no harm.
  {
    std::lock_guard lock(mutex_);
    streams_.push_back(stream);
  }
  std::string first = ": coalmine\n\n";
  for (const auto& status : rollouts_.list()) first += event_of(status);
  stream->write(std::move(first));
}

void EventStreams::send_to_all(const std::string& chunk) {
  std::lock_guard lock(mutex_);
  std::erase_if(streams_, [&](const auto& stream) { return !stream->write(chunk); });
}

void EventStreams::beat() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kHeartbeat, [this] { return stopping_; })) {
    std::erase_if(streams_, [](const auto& stream) { return !stream->write(": still here\n\n"); });
  }
}

} // namespace coalmine::serve
