// SPDX-License-Identifier: Apache-2.0
#include "serve/events.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/json_string.h"
#include "rollout/json.h"
#include "serve/answer.h"

namespace coalmine::serve {
namespace {

constexpr std::size_t kMaxBacklog = 1u << 20;

// An event of a stream: "event:" and one "data:" line (JSON has no line breaks in it), ended by an
// empty line.
std::string event_of(const rollout::RolloutStatus& status) {
  return fmt::format("event: rollout\ndata: {}\n\n",
                     with_valid_utf8(rollout::rollout_json(status, rollout::WithLog::no)));
}

net::HttpResponse head() {
  net::HttpResponse out;
  out.headers = {{"Content-Type", "text/event-stream"},
                 {"Cache-Control", "no-store"},
                 {"X-Accel-Buffering", "no"}};
  harden(out);
  return out;
}

net::HttpResponse refused(const std::string& why) {
  auto out = error_answer({ErrorCode::unavailable, why});
  harden(out);
  return out;
}

} // namespace

EventStreams::EventStreams(rollout::Controller& rollouts, Options options)
    : rollouts_(rollouts),
      options_(options),
      unsubscribe_(
          rollouts.subscribe([this](const rollout::RolloutStatus& status) { tell(status); })),
      heart_({.name = "events", .threads = 1, .queue_limit = 1}) {
  CHECK(heart_.try_submit([this] { beat(); }));
}

EventStreams::~EventStreams() {
  unsubscribe_();
  close();
}

void EventStreams::close() {
  std::list<Client> ended;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    // A stream that is just beginning ends itself, when it sees that all are closed.
    for (auto it = clients_.begin(); it != clients_.end();) {
      const auto next = std::next(it);
      if (it->stream) ended.splice(ended.end(), clients_, it);
      it = next;
    }
  }
  wake_.notify_all();
}

std::size_t EventStreams::clients() const {
  std::lock_guard lock(mutex_);
  return clients_.size();
}

void EventStreams::open(std::unique_ptr<net::Responder> responder) {
  std::unique_lock lock(mutex_);
  if (closed_ || clients_.size() >= options_.max_clients) {
    const auto why = closed_ ? std::string("the server is stopping")
                             : fmt::format("{} event streams are open already", clients_.size());
    lock.unlock();
    return responder->send(refused(why));
  }
  const auto client = clients_.emplace(clients_.end());
  lock.unlock();
  begin(client, std::move(responder));
}

// The rollouts are listed after the client is registered, so that no change is lost in between, and
// outside the lock, for which the control thread waits.
void EventStreams::begin(ClientPointer client, std::unique_ptr<net::Responder> responder) {
  auto stream = responder->start_stream(head());
  std::string first = ": every rollout, then each change\n\n";
  for (const auto& status : rollouts_.list()) first += event_of(*status);
  std::lock_guard lock(mutex_);
  first += client->backlog;
  client->backlog.clear();
  if (closed_ || client->lost || !stream || !stream->write(std::move(first))) {
    clients_.erase(client);
    return;
  }
  client->stream = std::move(stream);
}

void EventStreams::tell(const rollout::RolloutStatus& status) {
  {
    std::lock_guard lock(mutex_);
    if (clients_.empty()) return;
  }
  const auto text = event_of(status);
  std::lock_guard lock(mutex_);
  std::erase_if(clients_, [&](Client& client) {
    if (client.stream) return !client.stream->write(text);
    client.lost = client.lost || client.backlog.size() + text.size() > kMaxBacklog;
    if (!client.lost) client.backlog += text;
    return false;
  });
}

void EventStreams::beat() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, options_.heartbeat, [this] { return closed_; })) {
    std::erase_if(clients_, [](const Client& client) {
      return client.stream && !client.stream->write(": still here\n\n");
    });
  }
}

} // namespace coalmine::serve
