// SPDX-License-Identifier: Apache-2.0
#include "lab/vectors/vectors_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "judge/stats/quantile_bounds.h"
#include "judge/stats/special.h"

namespace coalmine::lab::statistics {
namespace {

using judge::increasing_root;
using judge::kInfinity;

// Riemann's zeta function for s > 1, by Euler and Maclaurin.
double zeta(double s) {
  constexpr int kDirect = 50;
  double out = 0;
  for (int k = 1; k < kDirect; ++k) out += std::pow(k, -s);
  const double n = kDirect;
  return out + std::pow(n, 1 - s) / (s - 1) + 0.5 * std::pow(n, -s) + s / 12 * std::pow(n, -s - 1) -
         s * (s + 1) * (s + 2) / 720 * std::pow(n, -s - 3);
}

double bernoulli_divergence(double p, double q) {
  double out = 0;
  if (p > 0) out += p * std::log(p / q);
  if (p < 1) out += (1 - p) * std::log((1 - p) / (1 - q));
  return out;
}

// Where an increasing function reaches 0, above from; the end of the search when it never does.
double upward_root(const auto& f, double from, double step) {
  double high = from + step;
  for (int i = 0; i < 200 && f(high) < 0; ++i) high = from + (high - from) * 2;
  return increasing_root(f, from, high, 200);
}

// Least value over eta of 4 exp(-g C) (1 + 1 / ((g - 1) ln eta)), with g = (2 / eta) (A - sqrt(2
// (eta - 1) / C))^2.
double lil_error(double c, double a) {
  const auto value = [&](double log_step) {
    const double eta = 1 + std::exp(log_step);
    const double rest = a - std::sqrt(2 * (eta - 1) / c);
    const double g = 2 / eta * rest * rest;
    if (rest <= 0 || g <= 1) return kInfinity;
    return 4 * std::exp(-g * c) * (1 + 1 / ((g - 1) * std::log(eta)));
  };
  double best = -12;
  for (double z = -12; z < 3; z += 0.05) best = value(z) < value(best) ? z : best;
  // Golden section around the best point of the grid.
  double low = best - 0.1, high = best + 0.1;
  for (int i = 0; i < 80; ++i) {
    const double third = (high - low) * 0.3819660112501051;
    (value(low + third) < value(high - third) ? high : low) =
        value(low + third) < value(high - third) ? high - third : low + third;
  }
  return value((low + high) / 2);
}

// Probability that a one-sided group sequential test rejects under the null.
double crossing_probability(int looks, double constant, double shape) {
  constexpr int kPoints = 401; // odd: Simpson
  const auto bound = [&](int k) {
    return constant * std::pow(static_cast<double>(looks) / k, shape) *
           std::sqrt(static_cast<double>(k));
  };
  const auto density = [](double x) {
    return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
  };
  std::vector<double> at(kPoints),
      mass(kPoints); // of the sum after look k, below its bound; mass: density times Simpson weight
  double rejected = 0;
  for (int k = 1; k <= looks; ++k) {
    const double low = -8 * std::sqrt(static_cast<double>(k)), high = bound(k);
    const double width = (high - low) / (kPoints - 1);
    std::vector<double> next_at(kPoints), next(kPoints);
    if (k == 1) rejected += judge::normal_cdf(-high);
    for (int j = 0; k > 1 && j < kPoints; ++j) {
      rejected += mass[static_cast<std::size_t>(j)] *
                  judge::normal_cdf(at[static_cast<std::size_t>(j)] - high);
    }
    for (int i = 0; i < kPoints; ++i) {
      const auto index = static_cast<std::size_t>(i);
      next_at[index] = low + i * width;
      double f = k == 1 ? density(next_at[index]) : 0;
      for (std::size_t j = 0; k > 1 && j < kPoints; ++j)
        f += mass[j] * density(next_at[index] - at[j]);
      const double simpson = i == 0 || i == kPoints - 1 ? 1 : i % 2 == 1 ? 4 : 2;
      next[index] = f * simpson * width / 3;
    }
    at = std::move(next_at);
    mass = std::move(next);
  }
  return rejected;
}

} // namespace

std::vector<double> safe_two_by_two(std::span<const double> ya, std::span<const double> yb,
                                    double na, double nb) {
  const double prior_a = 0.18, prior_b = nb / na * 0.18;
  std::vector<double> out;
  double seen_a = 0, seen_b = 0, total = 0;
  for (std::size_t t = 0; t < ya.size() && t < yb.size(); ++t) {
    const auto past = static_cast<double>(t);
    const double a = (seen_a + prior_a) / (past * na + 2 * prior_a),
                 b = (seen_b + prior_b) / (past * nb + 2 * prior_b);
    const double mean = (na * a + nb * b) / (na + nb);
    total += ya[t] * std::log(a / mean) + (na - ya[t]) * std::log((1 - a) / (1 - mean)) +
             yb[t] * std::log(b / mean) + (nb - yb[t]) * std::log((1 - b) / (1 - mean));
    seen_a += ya[t];
    seen_b += yb[t];
    out.push_back(total);
  }
  return out;
}

judge::Interval gamma_poisson_interval(double n, double phi, double alpha) {
  const auto excess = [&](double rate) { // ln E of this rate, above the bar
    return phi * std::log(phi) + judge::log_gamma(phi + n) + rate - judge::log_gamma(phi) -
           (phi + n) * std::log(phi + rate) - std::log(1 / alpha);
  };
  const double lower =
      excess(0) < 0 ? 0 : increasing_root([&](double r) { return -excess(r); }, 0, n, 200);
  return {lower, upward_root(excess, n, std::sqrt(n + 1))};
}

double normal_log_mixture(double s, double v, double v_opt, double alpha_opt, bool one_sided) {
  const double rho = judge::mixture_rho(v_opt, one_sided ? 2 * alpha_opt : alpha_opt);
  const double out = 0.5 * std::log(rho / (v + rho)) + s * s / (2 * (v + rho));
  return one_sided ? out + std::numbers::ln2 + judge::log_normal_cdf(s / std::sqrt(v + rho)) : out;
}

double normal_mixture_bound(double v, double alpha, double v_opt, double alpha_opt,
                            bool one_sided) {
  return upward_root(
      [&](double s) {
        return normal_log_mixture(s, v, v_opt, alpha_opt, one_sided) - std::log(1 / alpha);
      },
      0, std::sqrt(v) + 1);
}

double beta_binomial_mixture_bound(double v, double alpha, double v_opt, double alpha_opt, double g,
                                   double h, bool one_sided) {
  const judge::BetaBinomialMixture mixture{
      .v_opt = v_opt, .alpha_opt = alpha_opt, .g = g, .h = h, .one_sided = one_sided};
  // The sum cannot exceed what v / (g h) steps of h give.
  return increasing_root(
      [&](double s) {
        return judge::beta_binomial_log_mixture(mixture, s, v) - std::log(1 / alpha);
      },
      0, v / g, 200);
}

double poly_stitching_bound(double v, double alpha, double v_min, double c, double s, double eta) {
  const double k1 = (std::pow(eta, 0.25) + std::pow(eta, -0.25)) / std::numbers::sqrt2;
  const double k2 = (std::sqrt(eta) + 1) / 2;
  const double time = std::max(v, v_min);
  const double level = s * std::log(std::log(eta * time / v_min)) +
                       std::log(zeta(s) / (alpha * std::pow(std::log(eta), s)));
  return std::sqrt(k1 * k1 * time * level + k2 * k2 * c * c * level * level) + k2 * c * level;
}

double lil_constant(double alpha, double a) {
  return increasing_root([&](double c) { return alpha - lil_error(c, a); }, 1, 200, 60);
}

double lil_bound(double t, double alpha, double t_min, double a) {
  if (!(t >= t_min)) return kInfinity;
  return a * std::sqrt((std::log1p(std::log(t / t_min)) + lil_constant(alpha, a)) / t);
}

double double_stitching_bound(double p, double t, double alpha, double t_opt, double delta,
                              double s, double eta) {
  const double time = std::max(t, t_opt);
  const auto logit = [](double q) { return std::log(q / (1 - q)); };
  const double shifted =
      1 / (1 + std::exp(-(logit(p) + 2 * delta * std::sqrt(t_opt * eta / time))));
  const double near = p >= 0.5 ? p : std::min(0.5, shifted);
  const double variance = near * (1 - near);
  const double epochs = std::sqrt(time / t_opt) * std::abs(logit(p)) / (2 * delta) + 1;
  const double level =
      s * std::log(std::log(eta * time / t_opt)) + s * std::log(epochs) +
      std::log(2 * zeta(s) * (2 * zeta(s) + 1) / (alpha * std::pow(std::log(eta), s)));
  const double k1 = (std::pow(eta, 0.25) + std::pow(eta, -0.25)) / std::numbers::sqrt2;
  const double k2 = (std::sqrt(eta) + 1) / 2;
  const double skew = (1 - 2 * p) / 3;
  return delta * std::sqrt(eta * time * variance / t_opt) +
         std::sqrt(k1 * k1 * variance * time * level + k2 * k2 * skew * skew * level * level) +
         k2 * skew * level;
}

judge::Interval bernoulli_interval(double x, double n, double alpha, double t_opt,
                                   double alpha_opt) {
  if (!(n > 0)) return {0, 1};
  const double bar = std::log(1 / alpha), seen = x / n;
  const auto excess = [&](double p) {
    const judge::BetaBinomialMixture mixture{.v_opt = t_opt * p * (1 - p),
                                             .alpha_opt = alpha_opt,
                                             .g = p,
                                             .h = 1 - p,
                                             .one_sided = false};
    const double v = n * p * (1 - p);
    return judge::beta_binomial_log_mixture(mixture, std::clamp(x - n * p, -v / (1 - p), v / p),
                                            v) -
           bar;
  };
  constexpr double kEdge = 1e-14;
  return {x <= 0 ? 0 : increasing_root([&](double p) { return -excess(p); }, kEdge, seen, 200),
          x >= n ? 1 : increasing_root(excess, seen, 1 - kEdge, 200)};
}

judge::Interval empirical_bernstein(std::span<const double> values, double alpha, double c) {
  const double nats = std::log(2 / alpha);
  double sum = 0, squares = 0.25, mean = 0.5, variance = 0.25;
  double weighted = 0, weights = 0, penalty = 0;
  double t = 0;
  for (const double x : values) {
    t += 1;
    const double bet = std::min(std::sqrt(2 * nats / (variance * t * std::log(t + 1))), c);
    weighted += bet * x;
    weights += bet;
    penalty += 4 * (x - mean) * (x - mean) * (-std::log1p(-bet) - bet) / 4;
    sum += x;
    mean = (0.5 + sum) / (t + 1);
    squares += (x - mean) * (x - mean);
    variance = squares / (t + 1);
  }
  if (!(weights > 0)) return {0, 1};
  return {(weighted - nats - penalty) / weights, (weighted + nats + penalty) / weights};
}

double lower_bound_requests(double p1, double p0, double ratio, double alpha) {
  const double pooled = (p1 + ratio * p0) / (1 + ratio); // the hardest common rate
  if (!(pooled > 0) || !(pooled < 1)) return kInfinity;
  const double information =
      bernoulli_divergence(p1, pooled) + ratio * bernoulli_divergence(p0, pooled);
  return information > 0 ? std::log(1 / alpha) / information : kInfinity;
}

double group_sequential_constant(int looks, double alpha, double shape) {
  if (looks < 1 || looks > 100 || !(alpha > 0 && alpha < 1))
    return std::numeric_limits<double>::quiet_NaN();
  return increasing_root([&](double c) { return alpha - crossing_probability(looks, c, shape); },
                         0.01, 8, 24);
}

} // namespace coalmine::lab::statistics
