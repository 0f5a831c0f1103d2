// SPDX-License-Identifier: Apache-2.0
#include "serve/events.h"

#include <condition_variable>

#include "serve/world_for_test.h"

namespace coalmine::serve {
namespace {

using test::rollout_status;

// What a client has received.
struct Wire {
  std::mutex mutex;
  std::condition_variable changed;
  std::string text;
  std::optional<int> status; // of an answer instead of a stream
  net::Headers headers;
  bool gone = false;
  bool ended = false;

  bool wait_for(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(10), condition);
  }
  bool wait_for_text(std::string_view part) {
    return wait_for([&] { return text.find(part) != std::string::npos; });
  }
};

class FakeStream final : public net::Responder::Stream {
 public:
  explicit FakeStream(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {}
  ~FakeStream() override {
    std::lock_guard lock(wire_->mutex);
    wire_->ended = true;
    wire_->changed.notify_all();
  }
  bool write(std::string chunk) override {
    std::lock_guard lock(wire_->mutex);
    if (wire_->gone) return false;
    wire_->text += chunk;
    wire_->changed.notify_all();
    return true;
  }

 private:
  std::shared_ptr<Wire> wire_;
};

class FakeResponder final : public net::Responder {
 public:
  explicit FakeResponder(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {}
  void send(net::HttpResponse response) override { wire_->status = response.status; }
  std::shared_ptr<Stream> start_stream(net::HttpResponse head) override {
    wire_->headers = head.headers;
    return std::make_shared<FakeStream>(wire_);
  }

 private:
  std::shared_ptr<Wire> wire_;
};

class EventsTest : public ::testing::Test {
 protected:
  std::shared_ptr<Wire> open(EventStreams& events) {
    auto wire = std::make_shared<Wire>();
    events.open(std::make_unique<FakeResponder>(wire));
    return wire;
  }
  test::FakeRollouts rollouts_;
};

TEST_F(EventsTest, AllRolloutsFirstThenChanges) {
  rollouts_.put(rollout_status(1, "shop", "first"));
  rollouts_.put(rollout_status(2, "cart", "second"));
  EventStreams events(rollouts_, {});
  const auto wire = open(events);
  EXPECT_EQ(net::header(wire->headers, "Content-Type"), "text/event-stream");
  EXPECT_EQ(net::header(wire->headers, "X-Content-Type-Options"), "nosniff");
  EXPECT_LT(wire->text.find("\"reason\":\"second\""), wire->text.find("\"reason\":\"first\""))
      << wire->text;
  rollouts_.put(rollout_status(1, "shop", "third"));
  ASSERT_TRUE(wire->wait_for_text("third"));
  // Every event is "event: rollout", one data line of JSON without a log, and an empty line.
  std::size_t count = 0;
  for (auto at = wire->text.find("event: rollout\ndata: "); at != std::string::npos;
       at = wire->text.find("event: rollout\ndata: ", at)) {
    at += 21;
    const auto value = boost::json::parse(wire->text.substr(at, wire->text.find("\n\n", at) - at));
    EXPECT_FALSE(value.as_object().contains("log"));
    ++count;
  }
  EXPECT_EQ(count, 3u);
}

TEST_F(EventsTest, AnOlderStateNeverFollowsANewerOne) {
  rollouts_.put(rollout_status(1, "shop", "older"));
  EventStreams events(rollouts_, {});
  rollouts_.on_list = [this] { // after the list was read, before it is written
    rollouts_.on_list = nullptr;
    rollouts_.put(rollout_status(1, "shop", "newer"));
  };
  const auto wire = open(events);
  EXPECT_NE(wire->text.find("newer"), std::string::npos);
  EXPECT_LT(wire->text.rfind("older"), wire->text.rfind("newer"));
}

TEST_F(EventsTest, HeartbeatsFindClientsThatAreGone) {
  EventStreams events(rollouts_, {.heartbeat = std::chrono::milliseconds(5), .max_clients = 2});
  const auto staying = open(events);
  const auto going = open(events);
  EXPECT_EQ(open(events)->status, 503);
  ASSERT_TRUE(staying->wait_for_text(": still here\n\n"));
  {
    std::lock_guard lock(going->mutex);
    going->gone = true;
  }
  EXPECT_TRUE(going->wait_for([&] { return going->ended; }));
  EXPECT_EQ(open(events)->status, std::nullopt);
}

TEST_F(EventsTest, CloseEndsStreamsAndTakesNoMore) {
  {
    EventStreams events(rollouts_, {});
    const auto wire = open(events);
    events.close();
    EXPECT_TRUE(wire->ended);
    EXPECT_EQ(events.clients(), 0u);
    EXPECT_EQ(open(events)->status, 503);
    EXPECT_TRUE(rollouts_.subscribed());
  }
  EXPECT_FALSE(rollouts_.subscribed());
}

} // namespace
} // namespace coalmine::serve
