// The functions that statistics vectors name.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <string>

#include "judge/estimate.h"
#include "judge/stats/asymptotic.h"
#include "judge/stats/bernoulli_exact.h"
#include "judge/stats/count_process.h"
#include "judge/stats/linear_margin.h"
#include "judge/stats/multiplicity.h"
#include "judge/stats/quantile_bounds.h"
#include "judge/stats/special.h"
#include "lab/vectors/vectors_parts.h"
#include "lab/vectors/vectors_statistics.h"

namespace coalmine::lab {

namespace json = boost::json;

namespace {

using Answer = VectorAnswer;
using Function = Answer (*)(VectorInput&);

// "batches": [canary_bad, canary_n, stable_bad, stable_n] each.
std::vector<judge::Cell> cells(VectorInput& in) {
  std::vector<judge::Cell> out;
  const auto* list = in.find("batches");
  if (list == nullptr || !list->is_array()) {
    in.refuse("the member batches is not a list");
    return out;
  }
  for (const auto& item : list->get_array()) {
    const auto numbers = json_numbers(item);
    if (!numbers || numbers->size() != 4) {
      in.refuse("a batch is not a list of four numbers");
      return out;
    }
    out.push_back({(*numbers)[0], (*numbers)[1], (*numbers)[2], (*numbers)[3]});
  }
  return out;
}

template <typename Process>
Answer log_e_of_cells(VectorInput& in) {
  Process process(in.number_or("r0", 1));
  const double delta = in.number_or("delta", 0), phi = in.number_or("phi", 1);
  std::vector<double> out;
  for (const auto& cell : cells(in)) {
    process.add(cell, phi);
    out.push_back(process.log_e(delta));
  }
  return Answer::many(std::move(out));
}

Answer bernoulli_log_e(VectorInput& in) {
  judge::BernoulliProcess process;
  const double phi = in.number_or("phi", 1);
  std::vector<double> out;
  for (const auto& cell : cells(in)) {
    process.add(cell, phi);
    out.push_back(process.log_e());
  }
  return Answer::many(std::move(out));
}

Answer interval(const judge::Interval& i) { return Answer::many({i.lower, i.upper}); }

Answer safe_two_by_two(VectorInput& in) {
  const auto ya = in.numbers("ya"), yb = in.numbers("yb");
  return Answer::many(statistics::safe_two_by_two(ya, yb, in.number("na"), in.number("nb")));
}

Answer dirichlet(VectorInput& in) {
  const auto counts = in.numbers("counts"), theta0 = in.numbers("theta0"),
             alpha = in.numbers("alpha");
  return Answer::one(judge::dirichlet_multinomial_log_bf(counts, theta0, alpha));
}

Answer beta_binomial(VectorInput& in) {
  const judge::BetaBinomialMixture mixture{.v_opt = in.number("v_opt"),
                                           .alpha_opt = in.number_or("alpha_opt", 0.05),
                                           .g = in.number("g"),
                                           .h = in.number("h"),
                                           .one_sided = in.flag_or("one_sided", true)};
  return Answer::one(judge::beta_binomial_log_mixture(mixture, in.number("s"), in.number("v")));
}

Answer quantile_interval(VectorInput& in) {
  const auto bounds = in.numbers("bounds"), counts = in.numbers("counts");
  const auto out = judge::quantile_bounds(bounds, counts, in.number("p"), in.number("alpha"),
                                          in.number("t_opt"));
  // Nothing known below: where values start, for a latency 0 unless a boundary is negative.
  const bool negative = !bounds.empty() && bounds.front() < 0;
  return Answer::many(
      {out.lower.value_or(negative ? -judge::kInfinity : 0), out.upper.value_or(judge::kInfinity)});
}

Answer histogram_quantile(VectorInput& in) {
  const double q = in.number("q");
  TrackCounts track;
  track.has_data = true;
  track.bounds_ms = std::make_shared<const std::vector<double>>(in.numbers("bounds"));
  track.bucket_counts = in.numbers("counts");
  if (q < 0) return Answer::one(-judge::kInfinity);
  if (q > 1) return Answer::one(judge::kInfinity);
  const auto out = judge::latency_quantile(track, q);
  return Answer::one(out ? out->value : std::numeric_limits<double>::quiet_NaN());
}

Answer exponential_base(VectorInput& in) {
  const double base = std::exp2(std::exp2(-in.number("scale")));
  return Answer::many({base, (base - 1) / (base + 1)});
}

// "xs": a list, or the text ((i*A)%B)/C for i=F..L.
std::vector<double> observations(VectorInput& in) {
  const auto* value = in.find("xs");
  if (value == nullptr || !value->is_string()) return in.numbers("xs");
  const std::string text(value->get_string());
  long a = 0, b = 0, first = 0, last = 0;
  double c = 0;
  const int read = std::sscanf(text.c_str(), "((i*%9ld)%%%9ld)/%9lf for i=%9ld..%9ld", &a, &b, &c,
                               &first, &last);
  if (read != 5 || b <= 0 || c == 0 || last - first > 10'000'000) {
    in.refuse(
        fmt::format("xs \"{}\" is neither a list nor of the form ((i*A)%B)/C for i=F..L", text));
    return {};
  }
  std::vector<double> out;
  for (long i = first; i <= last; ++i) out.push_back(static_cast<double>((i * a) % b) / c);
  return out;
}

Answer bernstein(VectorInput& in) {
  const auto xs = observations(in);
  return interval(statistics::empirical_bernstein(xs, in.number("alpha"), in.number_or("c", 0.5)));
}

Answer discoveries(VectorInput& in) {
  std::vector<double> out;
  const auto e = in.numbers("e");
  for (const auto i : judge::e_bh(e, in.number("alpha"))) out.push_back(static_cast<double>(i));
  return Answer::many(std::move(out));
}

// Weights: a list, or any text "... each" for equal ones.
Answer average(VectorInput& in) {
  auto e = in.numbers("e");
  const auto* weights = in.find("weights");
  std::vector<double> used(e.size(), e.empty() ? 0 : 1 / static_cast<double>(e.size()));
  if (weights != nullptr && weights->is_array()) {
    used = in.numbers("weights");
  } else if (weights != nullptr &&
             (!weights->is_string() || !weights->get_string().ends_with("each"))) {
    in.refuse("weights are neither a list nor \"1/N each\"");
  }
  if (used.size() != e.size()) in.refuse("there are not as many weights as e-values");
  for (double& v : e) v = std::log(v);
  return Answer::one(judge::log_weighted_average(e, used));
}

// The seed's rule on numbers: the order and the comparisons of the threshold judge.
Answer threshold(VectorInput& in) {
  const double x1 = in.number("x1"), n1 = in.number("n1"), x0 = in.number("x0"),
               n0 = in.number("n0");
  const double canary = in.number("p99_1"), stable = in.number("p99_0"), age = in.number("age_min");
  const auto defaults = judge::seed_defaults();
  if (!(n1 >= defaults.min_requests) || !(n0 > 0)) return Answer::of("continue");
  const bool errors = judge::within_margin(judge::SignalKind::error_rate,
                                           defaults.signals[0].margin, x1 / n1, x0 / n0);
  const bool latency = judge::within_margin(judge::SignalKind::latency_quantile,
                                            defaults.signals[1].margin, canary, stable);
  if (!errors || !latency) return Answer::of("rollback");
  return Answer::of(age >= defaults.min_analysis_minutes ? "promote" : "continue");
}

constexpr double kUsualAlpha = 0.05;

const std::map<std::string_view, Function>& sequential_functions() {
  static const std::map<std::string_view, Function> functions = {
      {"rollback_log_e", log_e_of_cells<judge::ExcessProcess>},
      {"promote_log_e", log_e_of_cells<judge::SafetyProcess>},
      {"bern_log_e", bernoulli_log_e},
      {"ratio_cs",
       [](VectorInput& in) {
         return interval(
             judge::ratio_interval(cells(in), in.number("alpha"), in.number_or("phi", 1)));
       }},
      {"diff_cs",
       [](VectorInput& in) {
         return interval(
             judge::difference_interval(cells(in), in.number("alpha"), in.number_or("phi", 1)));
       }},
      {"safe2x2_log_e", safe_two_by_two},
      {"safe2x2_log_e_last",
       [](VectorInput& in) {
         const auto all = safe_two_by_two(in);
         return Answer::one(all.numbers.empty() ? 0 : all.numbers.back());
       }},
      {"dirichlet_multinomial_log_bf", dirichlet},
      {"one_sided_beta_log_bf",
       [](VectorInput& in) {
         return Answer::one(judge::one_sided_beta_log_bf(in.number("x1"), in.number("x0"),
                                                         in.number("theta0"), in.number("a"),
                                                         in.number("b")));
       }},
      {"gamma_poisson_cs",
       [](VectorInput& in) {
         return interval(statistics::gamma_poisson_interval(in.number("N"), in.number_or("phi", 1),
                                                            in.number("alpha")));
       }},
      {"msprt_log_e",
       [](VectorInput& in) {
         return Answer::one(judge::msprt_log_e(
             in.number("dhat"), in.number("V"), in.number("tau2"),
             in.flag_or("one_sided", false) ? judge::Sides::one : judge::Sides::two));
       }},
      {"asymp_cs_halfwidth",
       [](VectorInput& in) {
         return Answer::one(
             judge::asymptotic_halfwidth(in.number("V"), in.number("tau2"), in.number("alpha")));
       }},
      {"empbern_cs", bernstein},
      {"e_bh", discoveries},
      {"combine_global", average},
      {"threshold_judge", threshold},
  };
  return functions;
}

// Bounds that hold at every moment.
const std::map<std::string_view, Function>& bound_functions() {
  static const std::map<std::string_view, Function> functions = {
      {"normal_log_mixture",
       [](VectorInput& in) {
         return Answer::one(statistics::normal_log_mixture(
             in.number("s"), in.number("v"), in.number("v_opt"),
             in.number_or("alpha_opt", kUsualAlpha), in.flag_or("one_sided", true)));
       }},
      {"normal_mixture_bound",
       [](VectorInput& in) {
         return Answer::one(statistics::normal_mixture_bound(
             in.number("v"), in.number("alpha"), in.number("v_opt"),
             in.number_or("alpha_opt", kUsualAlpha), in.flag_or("one_sided", true)));
       }},
      {"beta_binomial_log_mixture", beta_binomial},
      {"beta_binomial_mixture_bound",
       [](VectorInput& in) {
         return Answer::one(statistics::beta_binomial_mixture_bound(
             in.number("v"), in.number("alpha"), in.number("v_opt"),
             in.number_or("alpha_opt", kUsualAlpha), in.number("g"), in.number("h"),
             in.flag_or("one_sided", true)));
       }},
      {"poly_stitching_bound",
       [](VectorInput& in) {
         return Answer::one(statistics::poly_stitching_bound(
             in.number("v"), in.number("alpha"), in.number("v_min"), in.number_or("c", 0),
             in.number_or("s", 1.4), in.number_or("eta", 2)));
       }},
      {"lil_C",
       [](VectorInput& in) {
         return Answer::one(statistics::lil_constant(in.number("alpha"), in.number_or("A", 0.85)));
       }},
      {"lil_bound",
       [](VectorInput& in) {
         return Answer::one(statistics::lil_bound(in.number("t"), in.number("alpha"),
                                                  in.number("t_min"), in.number_or("A", 0.85)));
       }},
      {"double_stitching_bound",
       [](VectorInput& in) {
         return Answer::one(statistics::double_stitching_bound(
             in.number("p"), in.number("t"), in.number("alpha"), in.number("t_opt"),
             in.number_or("delta", 0.5), in.number_or("s", 1.4), in.number_or("eta", 2)));
       }},
  };
  return functions;
}

const std::map<std::string_view, Function>& other_functions() {
  static const std::map<std::string_view, Function> functions = {
      {"bernoulli_ci",
       [](VectorInput& in) {
         return interval(statistics::bernoulli_interval(in.number("x"), in.number("n"),
                                                        in.number("alpha"), in.number("t_opt"),
                                                        in.number_or("alpha_opt", kUsualAlpha)));
       }},
      {"quantile_cs_from_buckets", quantile_interval},
      {"prom_histogram_quantile", histogram_quantile},
      {"exp_hist_base,exp_hist_rel_error", exponential_base},
      {"exp_hist_base",
       [](VectorInput& in) { return Answer::one(exponential_base(in).numbers[0]); }},
      {"exp_hist_rel_error",
       [](VectorInput& in) { return Answer::one(exponential_base(in).numbers[1]); }},
      {"lower_bound_requests",
       [](VectorInput& in) {
         return Answer::one(statistics::lower_bound_requests(
             in.number("p1"), in.number("p0"), in.number("ratio_n0_n1"), in.number("alpha")));
       }},
      {"gst_constant",
       [](VectorInput& in) {
         const double looks = in.number("K");
         if (!(looks >= 1 && looks <= 100)) in.refuse("K is not between 1 and 100");
         return Answer::one(in.problem().empty() ? statistics::group_sequential_constant(
                                                       static_cast<int>(looks), in.number("alpha"),
                                                       in.number_or("shape", 0))
                                                 : 0);
       }},
  };
  return functions;
}

} // namespace

std::optional<VectorAnswer> evaluate_vector(std::string_view function, VectorInput& input) {
  for (const auto* functions : {&sequential_functions(), &bound_functions(), &other_functions()}) {
    if (const auto it = functions->find(function); it != functions->end()) return it->second(input);
  }
  return std::nullopt;
}

} // namespace coalmine::lab
