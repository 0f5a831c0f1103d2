// The event stream /v1/events: every rollout first, then each change.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "base/executor.h"
#include "net/http_server.h"
#include "rollout/control/controller.h"

namespace coalmine::serve {

// open may be called on any thread. Changes come on the control thread, which only puts them into
// each client's bounded buffer; one thread of its own writes heartbeats, which reveal clients that
// are gone; those are dropped.
class EventStreams {
 public:
  struct Options {
    std::chrono::milliseconds heartbeat{15'000};
    std::size_t max_clients = 256; // one more is answered 503
  };
  EventStreams(rollout::Controller& rollouts, Options options);
  ~EventStreams();
  EventStreams(const EventStreams&) = delete;
  EventStreams& operator=(const EventStreams&) = delete;

  void open(std::unique_ptr<net::Responder> responder);
  // Ends every stream and accepts no new ones.
  void close();
  std::size_t clients() const;

 private:
  // Until the list of rollouts has been written, changes wait in backlog: an older state must not
  // follow a newer one.
  struct Client {
    std::shared_ptr<net::Responder::Stream> stream; // null: not begun
    std::string backlog;
    bool lost = false; // too much waited
  };
  using ClientPointer = std::list<Client>::iterator;

  void begin(ClientPointer client, std::unique_ptr<net::Responder> responder);
  void tell(const rollout::RolloutStatus& status);
  void beat();

  rollout::Controller& rollouts_;
  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool closed_ = false;
  std::list<Client> clients_;
  std::function<void()> unsubscribe_;
  Executor heart_;
};

} // namespace coalmine::serve
