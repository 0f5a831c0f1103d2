// SPDX-License-Identifier: Apache-2.0
#include "judge/stats/rank_statistics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <random>

#include "judge/stats/special.h"

namespace coalmine::judge::rank {
namespace {

constexpr double kTolerance = 1e-4; // of the root finder; the interval's last digits depend on it
constexpr double kEpsilon = 2.220446049250313e-16;
constexpr int kMaxIterations = 1000;

struct Ranks {
  double sum_of_first = 0; // ranks of the first array's values, ties averaged
  double ties = 0;         // sum of t^3 - t over groups of equal values
};

Ranks rank(std::span<const double> first, double mu, std::span<const double> second) {
  struct Item {
    double value;
    bool first;
  };
  std::vector<Item> items;
  items.reserve(first.size() + second.size());
  for (const double v : first) items.push_back({v - mu, true});
  for (const double v : second) items.push_back({v, false});
  std::ranges::sort(items, {}, &Item::value);
  Ranks out;
  for (std::size_t i = 0; i < items.size();) {
    std::size_t end = i + 1;
    while (end < items.size() && items[end].value == items[i].value) ++end;
    const auto t = static_cast<double>(end - i);
    const double average = (static_cast<double>(i + 1) + static_cast<double>(end)) / 2;
    for (std::size_t k = i; k < end; ++k) out.sum_of_first += items[k].first ? average : 0;
    out.ties += t * t * t - t;
    i = end;
  }
  return out;
}

// Brent's root finder with the stopping rules of R's zeroin: the step function of the rank sum has
// no exact root, so where it stops is part of the answer. f may fail; the failure is passed on.
std::optional<double> brent(const std::function<std::optional<double>(double)>& f, double low,
                            double high, double f_low, double f_high) {
  double a = low, b = high, c = a;
  double fa = f_low, fb = f_high, fc = fa;
  if (fa == 0) return a;
  if (fb == 0) return b;
  for (int i = 0; i <= kMaxIterations; ++i) {
    const double previous = b - a;
    if (std::abs(fc) < std::abs(fb)) {
      a = b;
      b = c;
      c = a;
      fa = fb;
      fb = fc;
      fc = fa;
    }
    const double tolerance = 2 * kEpsilon * std::abs(b) + kTolerance / 2;
    double step = (c - b) / 2.0;
    if (std::abs(step) <= tolerance || fb == 0) return b;
    if (std::abs(previous) >= tolerance && std::abs(fa) > std::abs(fb)) {
      const double gap = c - b;
      double p = 0, q = 0;
      if (a == c) { // linear
        const double t = fb / fa;
        p = gap * t;
        q = 1.0 - t;
      } else { // inverse quadratic
        q = fa / fc;
        const double t1 = fb / fc, t2 = fb / fa;
        p = t2 * (gap * q * (q - t1) - (b - a) * (t1 - 1.0));
        q = (q - 1.0) * (t1 - 1.0) * (t2 - 1.0);
      }
      if (p > 0) {
        q = -q;
      } else {
        p = -p;
      }
      if (p < (0.75 * gap * q - std::abs(tolerance * q) / 2) && p < std::abs(previous * q / 2))
        step = p / q;
    }
    if (std::abs(step) < tolerance) step = step > 0 ? tolerance : -tolerance;
    a = b;
    fa = fb;
    b += step;
    const auto value = f(b);
    if (!value) return std::nullopt;
    fb = *value;
    if ((fb > 0 && fc > 0) || (fb < 0 && fc < 0)) {
      c = a;
      fc = fa;
    }
  }
  return std::nullopt;
}

bool constant(std::span<const double> values) {
  return std::ranges::all_of(values, [&](double v) { return v == values[0]; });
}

std::vector<double> with_noise(std::span<const double> values, std::mt19937_64& random) {
  // Box and Muller's normal numbers: the standard library's differ between implementations.
  const auto uniform = [&] { return (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53; };
  std::vector<double> out(values.begin(), values.end());
  for (double& v : out) {
    const double length = std::sqrt(-2 * std::log(uniform()));
    v += length * std::cos(2 * std::numbers::pi * uniform()) * v * 1e-5;
  }
  return out;
}

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

} // namespace

std::vector<double> remove_nan(std::span<const double> values) {
  std::vector<double> out;
  for (const double v : values) {
    if (!std::isnan(v)) out.push_back(v);
  }
  return out;
}

std::vector<double> replace_nan(std::span<const double> values) {
  std::vector<double> out(values.begin(), values.end());
  for (double& v : out) v = std::isnan(v) ? 0 : v;
  return out;
}

std::vector<bool> iqr_outliers(std::span<const double> values, double factor, Fences fences) {
  std::vector<bool> out(values.size(), false);
  if (values.empty()) return out;
  const double p25 = percentile(values, 25), p75 = percentile(values, 75);
  double lower = p25 - factor * (p75 - p25), upper = p75 + factor * (p75 - p25);
  if (fences == Fences::reduced) {
    lower = std::min(percentile(values, 1), lower);
    upper = std::max(percentile(values, 99), upper);
  }
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = values[i] < lower || values[i] > upper;
  return out;
}

Summary summarize(std::span<const double> values) {
  Summary out;
  if (values.empty()) return out;
  out.count = values.size();
  out.min = *std::ranges::min_element(values);
  out.max = *std::ranges::max_element(values);
  out.mean = mean(values);
  double squares = 0;
  for (const double v : values) squares += (v - out.mean) * (v - out.mean);
  out.std = values.size() > 1 ? std::sqrt(squares / static_cast<double>(values.size() - 1)) : 0;
  return out;
}

double percentile(std::span<const double> values, double p) {
  if (values.empty()) return kNaN;
  std::vector<double> sorted(values.begin(), values.end());
  std::ranges::sort(sorted);
  const auto last = static_cast<double>(sorted.size() - 1);
  const double place = std::clamp(p / 100 * last, 0.0, last);
  const auto below = static_cast<std::size_t>(std::floor(place));
  if (below + 1 >= sorted.size()) return sorted.back();
  return sorted[below] + (place - std::floor(place)) * (sorted[below + 1] - sorted[below]);
}

std::optional<double> wilcoxon_score(std::span<const double> x, std::span<const double> y,
                                     double mu, double quantile) {
  const auto m = static_cast<double>(x.size()), n = static_cast<double>(y.size());
  const auto ranks = rank(x, mu, y);
  const double dz = ranks.sum_of_first - m * (m + 1) / 2 - m * n / 2;
  const double correction = dz > 0 ? 0.5 : dz < 0 ? -0.5 : 0;
  const double sigma = std::sqrt(m * n / 12 * ((m + n + 1) - ranks.ties / ((m + n) * (m + n - 1))));
  if (!(sigma > 0)) return std::nullopt;
  return (dz - correction) / sigma - quantile;
}

std::optional<Shift> mann_whitney(std::span<const double> x_in, std::span<const double> y_in,
                                  double confidence) {
  if (x_in.empty() || y_in.empty()) return std::nullopt;
  std::vector<double> x(x_in.begin(), x_in.end()), y(y_in.begin(), y_in.end());
  if (constant(x) && constant(y)) {
    std::mt19937_64 random(20190401);
    x = with_noise(x, random);
    y = with_noise(y, random);
  }
  const double low_end = *std::ranges::min_element(x) - *std::ranges::max_element(y);
  const double high_end = *std::ranges::max_element(x) - *std::ranges::min_element(y);
  enum class Ends { clamped, open };
  const auto root = [&](double quantile, Ends ends) -> std::optional<double> {
    const auto f = [&](double mu) { return wilcoxon_score(x, y, mu, quantile); };
    const auto at_low = f(low_end), at_high = f(high_end);
    if (!at_low || !at_high) return std::nullopt;
    if (ends == Ends::clamped && *at_low <= 0) return low_end;
    if (ends == Ends::clamped && *at_high >= 0) return high_end;
    return brent(f, low_end, high_end, *at_low, *at_high);
  };
  const double z = normal_quantile((1 - confidence) / 2); // negative
  const auto low = root(-z, Ends::clamped), high = root(z, Ends::clamped),
             middle = root(0, Ends::open);
  if (!low || !high || !middle) return std::nullopt;
  return Shift{*low, *high, *middle};
}

double mean_ratio(std::span<const double> experiment, std::span<const double> control) {
  const double above = mean(experiment), below = mean(control);
  return above == 0 || below == 0 ? kNaN : above / below;
}

double common_language(std::span<const double> experiment, std::span<const double> control) {
  const auto m = static_cast<double>(experiment.size()), n = static_cast<double>(control.size());
  if (m == 0 || n == 0) return kNaN;
  return (2 * rank(experiment, 0, control).sum_of_first - m * (m + 1)) / (2 * m * n);
}

} // namespace coalmine::judge::rank
