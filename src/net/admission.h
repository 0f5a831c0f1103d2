// The bytes a server holds for requests that are arriving or being handled, and their bound.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace coalmine::net {

// A bounded sum of bytes, shared by the connections of one server. Any thread.
class ByteBudget {
 public:
  explicit ByteBudget(std::size_t limit) : limit_(limit) {}

  bool try_take(std::size_t bytes) {
    auto used = used_.load(std::memory_order_relaxed);
    do {
      if (bytes > limit_ || used > limit_ - bytes) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    return true;
  }
  void give_back(std::size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  std::size_t used() const { return used_.load(std::memory_order_relaxed); }
  std::size_t limit() const { return limit_; }

 private:
  const std::size_t limit_;
  std::atomic<std::size_t> used_{0};
};

// A request's share of the budget. Destruction gives it back. It travels with the request: a body
// still counts while a pool works on it after its client has gone. One thread at a time.
class Charge {
 public:
  Charge() = default;
  explicit Charge(std::shared_ptr<ByteBudget> budget) : budget_(std::move(budget)) {}
  Charge(Charge&& other) noexcept
      : budget_(std::move(other.budget_)), bytes_(std::exchange(other.bytes_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    if (this != &other) {
      release();
      budget_ = std::move(other.budget_);
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }
  ~Charge() { release(); }

  // False when the budget is used up; nothing is taken then.
  [[nodiscard]] bool grow(std::size_t bytes) {
    if (!budget_ || !budget_->try_take(bytes)) return false;
    bytes_ += bytes;
    return true;
  }
  void release() {
    if (bytes_ != 0) budget_->give_back(std::exchange(bytes_, 0));
  }

 private:
  std::shared_ptr<ByteBudget> budget_;
  std::size_t bytes_ = 0;
};

} // namespace coalmine::net
