// Time as a parameter: no logic reads the wall clock by itself.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace coalmine {

// Where time comes from. Any thread. wall_*: since the Unix epoch, for labels, queries and what is
// stored. steady_ms: monotonic with an arbitrary origin, for every duration.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::int64_t wall_ns() const = 0;
  virtual std::int64_t steady_ms() const = 0;
  std::int64_t wall_ms() const { return wall_ns() / 1'000'000; }
};

class SystemClock final : public Clock {
 public:
  std::int64_t wall_ns() const override;
  std::int64_t steady_ms() const override;
};

// A clock for tests that moves only by advance_ms() and set_wall_ms(); both readings move together.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(std::int64_t wall_ms = 1'700'000'000'000) : ns_(wall_ms * 1'000'000) {}
  std::int64_t wall_ns() const override { return ns_; }
  std::int64_t steady_ms() const override { return ns_ / 1'000'000; }
  void advance_ms(std::int64_t ms) { ns_ += ms * 1'000'000; }
  void set_wall_ms(std::int64_t ms) { ns_ = ms * 1'000'000; }

 private:
  std::atomic<std::int64_t> ns_;
};

} // namespace coalmine
