// Test support: a Store that keeps what is appended, can be made to fail, and can be held up.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "store/store.h"

namespace coalmine::receive {

// Any thread. hold(): append waits until release().
class FakeStore final : public store::Store {
 public:
  Result<store::AppendResult> append(const Batch& batch) override {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held_; });
    --waiting_;
    if (on_append_) on_append_();
    if (failure_) return std::unexpected<Error>(*failure_);
    batches_.push_back(batch);
    return result_;
  }
  Result<std::vector<SeriesData>> select(const store::SelectRequest&) const override { return {}; }
  std::vector<std::string> label_names(const store::SelectRequest&) const override { return {}; }
  std::vector<std::string> label_values(std::string_view,
                                        const store::SelectRequest&) const override {
    return {};
  }
  std::vector<MetricMetadata> metadata() const override { return {}; }
  Result<std::vector<StoredSpan>> find_spans(const SpanFilter&) const override { return {}; }
  Result<std::vector<StoredSpan>> trace(const TraceId&) const override { return {}; }
  std::vector<Presence> presence() const override { return {}; }
  StoreStats stats() const override { return {}; }
  Status maintain() override { return {}; }

  void fail_with(std::optional<Error> error) {
    std::lock_guard lock(mutex_);
    failure_ = std::move(error);
  }
  void answer_with(store::AppendResult result) {
    std::lock_guard lock(mutex_);
    result_ = std::move(result);
  }
  // Called within every append.
  void on_append(std::function<void()> hook) {
    std::lock_guard lock(mutex_);
    on_append_ = std::move(hook);
  }
  void hold() {
    std::lock_guard lock(mutex_);
    held_ = true;
  }
  void release() {
    std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  // Returns once n appends wait at the gate.
  void wait_for_waiting(std::size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ >= n; });
  }
  std::vector<Batch> batches() const {
    std::lock_guard lock(mutex_);
    return batches_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> on_append_;
  bool held_ = false;
  std::size_t waiting_ = 0;
  std::optional<Error> failure_;
  store::AppendResult result_;
  std::vector<Batch> batches_;
};

} // namespace coalmine::receive
