// The sequential judge's state as bytes. SPDX-License-Identifier: Apache-2.0
#include "judge/sequential_state.h"

#include <cmath>

#include "judge/sequential.h"
#include "judge/sequential_lines.h"

namespace coalmine::judge {
namespace {

constexpr std::size_t kMaxItems = 10'000; // of any list; more is damage

template <typename Numbers>
void write_all(ByteWriter& out, const Numbers& numbers) {
  for (const double v : numbers) out.f64(v);
}
template <typename Numbers>
void read_all(ByteReader& in, Numbers& numbers) {
  for (double& v : numbers) v = in.f64();
}

void write(ByteWriter& out, const ExcessProcess& p) {
  write_all(out, p.sums().gain);
  write_all(out, p.sums().cost);
}
void read(ByteReader& in, ExcessProcess& p) {
  ExcessProcess::Sums sums;
  read_all(in, sums.gain);
  read_all(in, sums.cost);
  p.restore(sums);
}

void write(ByteWriter& out, const SafetyProcess& p) {
  write_all(out, p.sums().gain);
  out.f64(p.sums().requests);
  out.f64(p.sums().own_gain);
}
void read(ByteReader& in, SafetyProcess& p) {
  SafetyProcess::Sums sums;
  read_all(in, sums.gain);
  sums.requests = in.f64();
  sums.own_gain = in.f64();
  p.restore(sums);
}

void write(ByteWriter& out, const BernoulliProcess& p) {
  write_all(out, p.sums().gain);
  out.f64(p.sums().past_bad);
  out.f64(p.sums().past_requests);
}
void read(ByteReader& in, BernoulliProcess& p) {
  BernoulliProcess::Sums sums;
  read_all(in, sums.gain);
  sums.past_bad = in.f64();
  sums.past_requests = in.f64();
  p.restore(sums);
}

void write(ByteWriter& out, const TotalsProcess& p) {
  const auto& t = p.totals;
  write_all(out, std::initializer_list<double>{t.x1, t.n1, t.x0, t.n0, t.compared, t.compared_bad, t.stable_expected});
}
void read(ByteReader& in, TotalsProcess& p) {
  auto& t = p.totals;
  for (double* v : {&t.x1, &t.n1, &t.x0, &t.n0, &t.compared, &t.compared_bad, &t.stable_expected}) *v = in.f64();
}

template <typename Process>
void write(ByteWriter& out, const Epochs<Process>& epochs) {
  for (const auto& p : epochs.processes()) write(out, p);
}
template <typename Process>
void read(ByteReader& in, Epochs<Process>& epochs) {
  for (auto& p : epochs.processes()) read(in, p);
}

std::size_t read_size(ByteReader& in, std::size_t most) {
  const auto n = in.varint();
  return n <= most ? static_cast<std::size_t>(n) : most + 1;
}

} // namespace

void write_numbers(ByteWriter& out, std::span<const double> numbers) {
  out.varint(numbers.size());
  write_all(out, numbers);
}

bool read_numbers(ByteReader& in, std::vector<double>& numbers) {
  const auto n = read_size(in, kMaxItems);
  if (n > kMaxItems || n * 8 > in.remaining()) return false;
  numbers.resize(n);
  read_all(in, numbers);
  return in.ok();
}

void write_buckets(ByteWriter& out, const Buckets& buckets) {
  write_numbers(out, buckets.bounds_ms);
  write_numbers(out, buckets.counts);
}

bool read_buckets(ByteReader& in, Buckets& buckets) {
  if (!read_numbers(in, buckets.bounds_ms) || !read_numbers(in, buckets.counts)) return false;
  return buckets.counts.empty() || usable(buckets.bounds_ms, buckets.counts);
}

void RateLine::save(ByteWriter& out) const {
  out.u8(excess_.processes().empty() ? 0 : 1);
  if (excess_.processes().empty()) return;
  out.f64(margin_.r0);
  out.f64(margin_.delta);
  out.varint(harms_.size());
  for (const auto& h : harms_) {
    out.f64(h.r0);
    out.f64(h.delta);
  }
  out.u8(exact_ ? 1 : 0);
  out.u8(limit_ ? 1 : 0);
  out.f64(limit_.value_or(0));
  out.f64(past_rate_);
  out.f64(minute_);
  write(out, excess_);
  write(out, beyond_);
  write(out, bernoulli_);
  write(out, totals_);
  for (const auto& p : safety_) write(out, p);
  write(out, width_);
  write(out, over_limit_);
}

bool RateLine::load(ByteReader& in, const LineOptions& options) {
  *this = RateLine();
  if (in.u8() == 0) return in.ok();
  LinearMargin margin{in.f64(), in.f64()};
  const auto n = read_size(in, 100);
  if (n > 100) return false;
  std::vector<LinearMargin> harms(n);
  for (auto& h : harms) {
    h.r0 = in.f64();
    h.delta = in.f64();
  }
  const bool exact = in.u8() == 1, limited = in.u8() == 1;
  const double limit = in.f64(), past_rate = in.f64(), minute = in.f64();
  if (!in.ok()) return false;
  *this = RateLine(options, margin, harms, exact, limited ? std::optional(limit) : std::nullopt, past_rate, 1);
  minute_ = minute;
  read(in, excess_);
  read(in, beyond_);
  read(in, bernoulli_);
  read(in, totals_);
  for (auto& p : safety_) read(in, p);
  read(in, width_);
  read(in, over_limit_);
  return in.ok();
}

void TailLine::save(ByteWriter& out) const {
  write_numbers(out, boundaries_);
  write_numbers(out, stakes_);
  write_numbers(out, past_rates_);
  out.f64(minute_);
  out.varint(marks_.size());
  for (const auto& m : marks_) {
    out.varint(m.boundary);
    out.f64(m.allowed_ratio);
    write_numbers(out, m.harms);
    out.varint(m.limit_boundary ? *m.limit_boundary + 1 : 0);
    out.f64(m.limit_share);
  }
  for (const auto& p : worse_) write(out, p);
  for (const auto& p : beyond_) write(out, p);
  for (const auto& p : totals_) write(out, p);
  for (const auto& list : safety_) {
    for (const auto& p : list) write(out, p);
  }
  for (const auto& p : over_limit_) write(out, p);
  write_buckets(out, canary_);
  write_buckets(out, stable_);
}

bool TailLine::load(ByteReader& in, const LineOptions& options) {
  Boundaries boundaries;
  std::vector<double> past_rates;
  if (!read_numbers(in, boundaries.bounds_ms) || boundaries.bounds_ms.size() > kMaxBoundaries) return false;
  if (!read_numbers(in, boundaries.stakes) || boundaries.stakes.size() != boundaries.bounds_ms.size()) return false;
  if (!read_numbers(in, past_rates) || past_rates.size() != boundaries.bounds_ms.size()) return false;
  const double minute = in.f64();
  const auto n = read_size(in, 50);
  if (n > 50) return false;
  std::vector<Mark> marks(n);
  for (auto& m : marks) {
    m.boundary = in.varint();
    m.allowed_ratio = in.f64();
    if (!read_numbers(in, m.harms)) return false;
    const auto limit = in.varint();
    if (limit > 0) m.limit_boundary = limit - 1;
    m.limit_share = in.f64();
    if (m.boundary >= boundaries.bounds_ms.size() || limit > boundaries.bounds_ms.size()) return false;
  }
  if (!in.ok()) return false;
  *this = TailLine(options, std::move(boundaries), std::move(marks), std::move(past_rates), 0);
  minute_ = minute;
  for (auto& p : worse_) read(in, p);
  for (auto& p : beyond_) read(in, p);
  for (auto& p : totals_) read(in, p);
  for (auto& list : safety_) {
    for (auto& p : list) read(in, p);
  }
  for (auto& p : over_limit_) read(in, p);
  return read_buckets(in, canary_) && read_buckets(in, stable_) && in.ok();
}

std::string SequentialJudge::save() const {
  std::string bytes;
  ByteWriter out(bytes);
  out.u8(kStateVersion);
  out.f64(minutes_);
  out.u8(begun_ ? 1 : 0);
  write_signature(out);
  out.f64(per_minute_);
  const auto past = [&](const Past& p) {
    out.f64(p.requests);
    out.f64(p.errors);
    out.f64(p.minutes);
    write_buckets(out, p.latency);
  };
  past(past_);
  out.varint(past_routes_.size());
  for (const auto& [name, p] : past_routes_) {
    out.text(name);
    past(p);
  }
  for (const auto* d : {&errors_, &tails_}) {
    out.f64(d->sums().pearson);
    out.f64(d->sums().degrees);
  }
  out.f64(dispersion_boundary_);
  // At most one cell waits for its partner.
  out.u8(previous_.empty() ? 0 : 1);
  for (const auto& p : previous_) out.f64(p.bad), out.f64(p.requests);
  out.u8(previous_tail_ ? 1 : 0);
  if (previous_tail_) out.f64(previous_tail_->bad), out.f64(previous_tail_->requests);
  out.u8(static_cast<std::uint8_t>(margin_.unit));
  out.f64(margin_.amount);
  out.varint(late_routes_);
  const auto scope = [&](const Scope& s) {
    for (const double v : {s.rate_weight, s.tail_weight, s.canary, s.stable}) out.f64(v);
    s.rate.save(out);
    s.tail.save(out);
  };
  scope(service_);
  out.varint(routes_.size());
  for (const auto& r : routes_) {
    out.text(r.name);
    scope(r.scope);
  }
  return bytes;
}

void SequentialJudge::write_signature(ByteWriter& out) const {
  // Options that shape the state: bytes of a judge with others are refused.
  out.varint(options_.signals.size());
  for (const auto& s : options_.signals) {
    out.text(s.name);
    out.f64(s.quantile);
    out.u8(s.per_route ? 1 : 0);
  }
  out.u8(options_.strict ? 1 : 0);
  out.u8(options_.restarts ? 1 : 0);
  write_numbers(out, harms_);
}

Status SequentialJudge::restore(std::string_view bytes) {
  SequentialJudge fresh(options_);
  ByteReader in(bytes);
  const auto damaged = [] {
    return fail(ErrorCode::invalid_argument, "the judge's state is damaged or of another configuration; evidence starts anew");
  };
  if (in.u8() != kStateVersion) return damaged();
  fresh.minutes_ = in.f64();
  fresh.begun_ = in.u8() == 1;
  std::string wanted;
  ByteWriter signature(wanted);
  write_signature(signature);
  if (in.raw(wanted.size()) != wanted) return damaged();
  fresh.per_minute_ = in.f64();
  const auto past = [&](Past& p) {
    p.requests = in.f64();
    p.errors = in.f64();
    p.minutes = in.f64();
    return read_buckets(in, p.latency);
  };
  if (!past(fresh.past_)) return damaged();
  const auto known = in.varint();
  for (std::uint64_t i = 0; i < known && in.ok() && i <= kMaxJudgedRoutes; ++i) {
    const std::string name(in.text());
    auto& p = fresh.past_routes_[name];
    if (!past(p)) return damaged();
    fresh.past_root_ += p.requests > 0 ? std::sqrt(p.requests) : 0;
  }
  for (auto* d : {&fresh.errors_, &fresh.tails_}) {
    Dispersion::Sums sums;
    sums.pearson = in.f64();
    sums.degrees = in.f64();
    d->restore(sums);
  }
  const auto part = [&] {
    Part p;
    p.bad = in.f64();
    p.requests = in.f64();
    return p;
  };
  fresh.dispersion_boundary_ = in.f64();
  if (in.u8() == 1) fresh.previous_ = {part()};
  if (in.u8() == 1) fresh.previous_tail_ = part();
  const auto unit = in.u8();
  if (unit > static_cast<std::uint8_t>(Margin::Unit::millis)) return damaged();
  fresh.margin_.unit = static_cast<Margin::Unit>(unit);
  fresh.margin_.amount = in.f64();
  fresh.late_routes_ = in.varint();
  const auto scope = [&](Scope& s, bool whole) {
    for (double* v : {&s.rate_weight, &s.tail_weight, &s.canary, &s.stable}) *v = in.f64();
    return s.rate.load(in, line_options(whole)) && s.tail.load(in, line_options(whole));
  };
  if (!scope(fresh.service_, true)) return damaged();
  const auto judged = in.varint();
  if (judged > kMaxJudgedRoutes) return damaged();
  for (std::uint64_t i = 0; i < judged; ++i) {
    Route route{std::string(in.text()), {}};
    if (!scope(route.scope, false)) return damaged();
    fresh.route_index_[route.name] = fresh.routes_.size();
    fresh.routes_.push_back(std::move(route));
  }
  if (!in.ok() || !in.done()) return damaged();
  take(std::move(fresh));
  return {};
}

void SequentialJudge::take(SequentialJudge&& other) {
  begun_ = other.begun_;
  minutes_ = other.minutes_;
  per_minute_ = other.per_minute_;
  past_ = std::move(other.past_);
  past_routes_ = std::move(other.past_routes_);
  past_root_ = other.past_root_;
  errors_ = other.errors_;
  tails_ = other.tails_;
  dispersion_boundary_ = other.dispersion_boundary_;
  previous_ = std::move(other.previous_);
  previous_tail_ = other.previous_tail_;
  margin_ = other.margin_;
  service_ = std::move(other.service_);
  routes_ = std::move(other.routes_);
  route_index_ = std::move(other.route_index_);
  late_routes_ = other.late_routes_;
}

} // namespace coalmine::judge
