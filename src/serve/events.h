// The event stream /v1/events: every rollout first, then each change.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "net/http_server.h"
#include "rollout/controller.h"

namespace coalmine::serve {

// Changes come on the control thread, which only puts them in a stream's bounded buffer; one thread of its own writes heartbeats, by
// which streams of clients that are gone are found and dropped.
class EventStreams {
 public:
  explicit EventStreams(rollout::Controller& rollouts);
  ~EventStreams();
  EventStreams(const EventStreams&) = delete;
  EventStreams& operator=(const EventStreams&) = delete;

  // At most 256 streams; one more is answered 503.
  void open(std::unique_ptr<net::Responder> responder);

 private:
  void send_to_all(const std::string& chunk);
  void beat();

  rollout::Controller& rollouts_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::vector<std::shared_ptr<net::Responder::Stream>> streams_;
  std::function<void()> unsubscribe_;
  std::thread heart_;
};

} // namespace coalmine::serve
