// Cases of the rank test: a section of the file each.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>
#include <string>

#include "judge/rank_rules.h"
#include "judge/stats/special.h"
#include "lab/vectors/vectors_parts.h"

namespace coalmine::lab {

namespace json = boost::json;
namespace rank = judge::rank;

namespace {

// One case under way: everything that is compared in it; it passes when nothing differs.
class Case {
 public:
  Case(const json::object& object, std::string_view section)
      : input(object),
        name_(fmt::format("{}: {}", section, VectorInput(object).text_or("name", "unnamed"))) {}

  void number(std::string_view what, double got, const json::value& expected, double tolerance) {
    const auto wanted = json_number(expected);
    if (!wanted) return input.refuse(fmt::format("the expected {} is not a number", what));
    if (!close(got, *wanted, tolerance))
      differ(what, json::serialize(expected), fmt::format("{:.17g}", got));
  }
  void word(std::string_view what, std::string_view got, const json::value& expected) {
    if (!expected.is_string() || expected.get_string() != got)
      differ(what, json::serialize(expected), std::string(got));
  }
  void flag(std::string_view what, bool got, const json::value& expected) {
    if (!expected.is_bool() || expected.get_bool() != got)
      differ(what, json::serialize(expected), got ? "true" : "false");
  }
  void differ(std::string_view what, const std::string& expected, const std::string& got) {
    differences_ += fmt::format("{}{}: {} expected, got {}", differences_.empty() ? "" : "; ", what,
                                expected.substr(0, 200), got);
  }
  void finish(VectorTally& tally) {
    if (!input.problem().empty()) return tally.fail(name_, input.problem());
    if (differences_.empty()) return tally.pass();
    tally.fail(name_, differences_);
  }

  VectorInput input;

 private:
  std::string name_;
  std::string differences_;
};

const json::object* expected_object(Case& c) {
  const auto* expected = c.input.find("expect");
  if (expected == nullptr || !expected->is_object()) {
    c.input.refuse("the member expect is not an object");
    return nullptr;
  }
  return &expected->get_object();
}

rank::MetricOptions metric_options(VectorInput& in) {
  rank::MetricOptions out;
  const auto direction = in.text_or("direction", "either");
  if (direction == "increase") out.direction = rank::Direction::increase;
  if (direction == "decrease") out.direction = rank::Direction::decrease;
  if (in.text_or("nan_strategy", "remove") == "replace")
    out.nan_strategy = rank::NanStrategy::replace;
  out.critical = in.flag_or("critical_metric", false);
  out.must_have_data = in.flag_or("data_required", false);
  out.tolerance = in.number_or("tolerance", out.tolerance);
  out.confidence = in.number_or("conf_level", out.confidence);
  if (in.text_or("effect_size_measure", "meanRatio") == "cles")
    out.measure = rank::EffectMeasure::common_language;
  const auto limits = [&](std::string_view name, std::optional<double>& decrease,
                          std::optional<double>& increase) {
    if (!in.has(name)) return;
    const auto pair = in.numbers(name);
    if (pair.size() != 2) return in.refuse(fmt::format("{} is not a pair", name));
    decrease = pair[0];
    increase = pair[1];
  };
  limits("effect_size_thresholds", out.allowed_decrease, out.allowed_increase);
  limits("critical_thresholds", out.critical_decrease, out.critical_increase);
  return out;
}

void check_shift(Case& c) {
  const bool control_named = c.input.has("y_control");
  const auto x = c.input.numbers(c.input.has("x_experiment") ? "x_experiment" : "x"),
             y = c.input.numbers(control_named ? "y_control" : "y");
  const double confidence = c.input.number("confidence_level"),
               tolerance = c.input.number_or("tol", 1e-6);
  const auto* expected = expected_object(c);
  if (expected == nullptr || x.empty() || y.empty()) return c.input.refuse("an array is empty");
  const auto shift = rank::mann_whitney(x, y, confidence);
  if (!shift) return c.differ("shift", "an interval", "an error");
  const double low = *std::ranges::min_element(x) - *std::ranges::max_element(y);
  const double high = *std::ranges::max_element(x) - *std::ranges::min_element(y);
  const double z = -judge::normal_quantile((1 - confidence) / 2);
  const auto score = [&](double mu, double quantile) {
    return rank::wilcoxon_score(x, y, mu, quantile).value_or(std::nan(""));
  };
  const std::map<std::string_view, double> got = {{"ci_low", shift->low},
                                                  {"ci_high", shift->high},
                                                  {"estimate", shift->estimate},
                                                  {"mu_min", low},
                                                  {"mu_max", high},
                                                  {"zq_lower", z},
                                                  {"zq_upper", -z},
                                                  {"f_lower_at_mu_min_zqLower", score(low, z)},
                                                  {"f_upper_at_mu_max_zqLower", score(high, z)},
                                                  {"f_lower_at_mu_min_zqUpper", score(low, -z)},
                                                  {"f_upper_at_mu_max_zqUpper", score(high, -z)}};
  for (const auto& item : *expected) {
    const std::string_view key(item.key().data(), item.key().size());
    if (key.ends_with("_tol")) continue;
    const auto it = got.find(key);
    if (it == got.end()) return c.input.refuse(fmt::format("unknown expectation {}", key));
    const auto* own = expected->if_contains(std::string(key) + "_tol");
    c.number(key, it->second, item.value(),
             own != nullptr ? json_number(*own).value_or(tolerance) : tolerance);
  }
}

void check_score_function(Case& c) {
  const auto x = c.input.numbers("x"), y = c.input.numbers("y");
  const auto* expected = c.input.find("expect");
  if (expected == nullptr || !expected->is_array())
    return c.input.refuse("the member expect is not a list");
  for (const auto& item : expected->get_array()) {
    if (!item.is_object()) return c.input.refuse("an expectation is not an object");
    VectorInput one(item.get_object());
    const double mu = one.number("mu"), quantile = one.number("quantile"),
                 value = one.number("value");
    if (!one.problem().empty()) return c.input.refuse(one.problem());
    const double got = rank::wilcoxon_score(x, y, mu, quantile).value_or(std::nan(""));
    c.number(fmt::format("score at {}", mu), got, json::value(value),
             c.input.number_or("tol", 1e-6));
  }
}

void compare_classification(Case& c, const rank::Classification& got) {
  const auto* expected = expected_object(c);
  if (expected == nullptr) return;
  for (const auto& item : *expected) {
    if (item.key() == "classification")
      c.word("classification", rank::to_string(got.label), item.value());
    if (item.key() == "critical") c.flag("critical", got.critical, item.value());
    if (item.key() == "deviation")
      c.number("deviation", got.deviation, item.value(), c.input.number_or("tol", 1e-9));
  }
}

void check_classifier(Case& c) {
  const auto options = metric_options(c.input);
  const auto control = c.input.numbers("control"), experiment = c.input.numbers("experiment");
  if (c.input.problem().empty())
    compare_classification(c, rank::classify("metric", control, experiment, options));
}

// The original's other classifier, which its judge does not use: the means decide.
void check_mean_classifier(Case& c) {
  const auto options = metric_options(c.input);
  const auto control = c.input.numbers("control"), experiment = c.input.numbers("experiment");
  if (control.empty() || experiment.empty())
    return compare_classification(c, rank::classify("metric", control, experiment, options));
  rank::Classification out;
  const double above = rank::summarize(experiment).mean, below = rank::summarize(control).mean;
  out.deviation = rank::mean_ratio(experiment, control);
  if (above > below && options.direction != rank::Direction::decrease)
    out.label = rank::Class::high;
  if (above < below && options.direction != rank::Direction::increase) out.label = rank::Class::low;
  out.critical = options.critical && out.label != rank::Class::pass;
  compare_classification(c, out);
}

void check_effect(Case& c) {
  const auto control = c.input.numbers("control"), experiment = c.input.numbers("experiment");
  const auto function = c.input.text("function");
  const auto* expected = c.input.find("expect");
  if (expected == nullptr || (function != "meanRatio" && function != "cles"))
    return c.input.refuse("needs function meanRatio or cles, and expect");
  const double got = function == "cles" ? rank::common_language(experiment, control)
                                        : rank::mean_ratio(experiment, control);
  c.number(function, got, *expected, c.input.number_or("tol", 1e-9));
}

void check_description(Case& c) {
  const auto data = c.input.numbers("data");
  const double tolerance = c.input.number_or("tol", 1e-9);
  const auto* expected = c.input.find("expect");
  if (expected == nullptr) return c.input.refuse("nothing is expected");
  if (c.input.text("function") != "summary")
    return c.number("percentile", rank::percentile(data, c.input.number("p")), *expected,
                    tolerance);
  if (!expected->is_object()) return c.input.refuse("the member expect is not an object");
  const auto got = rank::summarize(data);
  const std::map<std::string_view, double> values = {{"min", got.min},
                                                     {"max", got.max},
                                                     {"mean", got.mean},
                                                     {"std", got.std},
                                                     {"count", static_cast<double>(got.count)}};
  for (const auto& item : expected->get_object()) {
    const auto it = values.find(std::string_view(item.key().data(), item.key().size()));
    if (it != values.end()) c.number(it->first, it->second, item.value(), tolerance);
  }
}

// Beyond k standard deviations of the mean; the judge uses quartiles.
std::vector<bool> sigma_outliers(const std::vector<double>& data, double k) {
  const auto s = rank::summarize(data);
  std::vector<bool> out(data.size());
  for (std::size_t i = 0; i < data.size(); ++i) out[i] = std::abs(data[i] - s.mean) > k * s.std;
  return out;
}

void check_detector(Case& c) {
  const auto data = c.input.numbers("data");
  const double factor = c.input.number("factor");
  const bool quartiles = c.input.text("detector") == "IQR";
  const auto got = quartiles ? rank::iqr_outliers(data, factor,
                                                  c.input.flag_or("reduce_sensitivity", false)
                                                      ? rank::Fences::reduced
                                                      : rank::Fences::usual)
                             : sigma_outliers(data, factor);
  const auto* expected = c.input.find("expect_is_outlier");
  json::array as_json;
  for (const bool b : got) as_json.emplace_back(b);
  if (expected == nullptr || *expected != json::value(as_json)) {
    c.differ("outliers", expected != nullptr ? json::serialize(*expected) : "a list",
             json::serialize(as_json));
  }
}

void check_transform(Case& c) {
  const auto data = c.input.numbers("input"), expected = c.input.numbers("expect");
  const auto op = c.input.text("op");
  const auto last = op.rfind(' ');
  const double factor = last != std::string::npos ? std::strtod(op.c_str() + last, nullptr) : 0;
  std::vector<double> got;
  const auto keep = [&](const std::vector<bool>& outlier) {
    for (std::size_t i = 0; i < data.size(); ++i) {
      if (!outlier[i]) got.push_back(data[i]);
    }
  };
  if (op == "remove_nan") {
    got = rank::remove_nan(data);
  } else if (op == "replace_nan") {
    got = rank::replace_nan(data);
  } else if (op.starts_with("iqr_remove")) {
    keep(rank::iqr_outliers(data, factor, rank::Fences::usual));
  } else if (op.starts_with("ksigma_remove")) {
    keep(sigma_outliers(data, factor));
  } else {
    return c.input.refuse(fmt::format("unknown operation \"{}\"", op));
  }
  if (got != expected)
    c.differ("values", fmt::format("{} values", expected.size()), shown(VectorAnswer::many(got)));
}

std::optional<rank::Class> class_named(std::string_view name) {
  using enum rank::Class;
  for (const auto label : {pass, high, low, nodata, nodata_fail, error}) {
    if (rank::to_string(label) == name) return label;
  }
  return std::nullopt;
}

std::vector<rank::Scored> scored_metrics(Case& c) {
  std::vector<rank::Scored> out;
  const auto* metrics = c.input.find("metrics");
  if (metrics == nullptr || !metrics->is_array()) {
    c.input.refuse("the member metrics is not a list");
    return out;
  }
  for (const auto& item : metrics->get_array()) {
    if (!item.is_object()) {
      c.input.refuse("a metric is not an object");
      return out;
    }
    VectorInput metric(item.get_object());
    const auto label = class_named(metric.text("classification"));
    rank::Scored scored{label.value_or(rank::Class::error), metric.flag_or("critical", false), {}};
    if (!label || !metric.problem().empty()) c.input.refuse("a metric has no known classification");
    if (const auto* groups = metric.find("groups"); groups != nullptr && groups->is_array()) {
      for (const auto& g : groups->get_array()) {
        if (g.is_string()) scored.groups.emplace_back(g.get_string());
      }
    }
    out.push_back(std::move(scored));
  }
  return out;
}

void check_scoring(Case& c) {
  const auto metrics = scored_metrics(c);
  std::map<std::string, double> weights;
  if (const auto* given = c.input.find("group_weights"); given != nullptr && given->is_object()) {
    for (const auto& item : given->get_object())
      weights[std::string(item.key())] = json_number(item.value()).value_or(0);
  }
  const auto got = rank::score(metrics, weights);
  const auto* expected = expected_object(c);
  if (expected == nullptr) return;
  if (const auto* total = expected->if_contains("summary_score"))
    c.number("summary_score", got.total, *total, 1e-9);
  if (const auto* sorted = expected->if_contains("group_scores_sorted")) {
    std::vector<double> scores;
    for (const auto& g : got.groups) scores.push_back(g.score);
    std::ranges::sort(scores);
    if (!matches(VectorAnswer::many(scores), *sorted, 1e-9)) {
      c.differ("group scores", json::serialize(*sorted), shown(VectorAnswer::many(scores)));
    }
  }
}

void check_run(Case& c) {
  const auto limit = [&](std::string_view name) -> std::optional<double> {
    const auto* value = c.input.find(name);
    return value == nullptr || value->is_null() ? std::nullopt : json_number(*value);
  };
  std::vector<double> scores;
  if (c.input.has("scores")) scores = c.input.numbers("scores");
  if (c.input.has("earlier")) scores = c.input.numbers("earlier");
  if (const auto last = limit("final")) scores.push_back(*last);
  const bool got = rank::run_passes(scores, limit("marginal"), limit("pass_threshold"));
  const auto* expected = c.input.find(c.input.has("did_pass") ? "did_pass" : "pass");
  if (expected == nullptr) return c.input.refuse("nothing is expected");
  c.flag("passes", got, *expected);
}

// The original's results on series that users complained about.
void check_weak_spot(Case& c) {
  const auto options = metric_options(c.input);
  const auto control = c.input.numbers("control"), experiment = c.input.numbers("experiment");
  const auto* computed = c.input.find("computed");
  if (computed == nullptr || !computed->is_object())
    return c.input.refuse("the member computed is not an object");
  const auto got = rank::classify("metric", control, experiment, options);
  for (const auto& item : computed->get_object()) {
    const double tolerance = 1e-9;
    if (item.key() == "classification")
      c.word("classification", rank::to_string(got.label), item.value());
    if (item.key() == "mean_ratio")
      c.number("mean_ratio", rank::mean_ratio(experiment, control), item.value(), tolerance);
    const bool of_shift =
        item.key() == "ci_low" || item.key() == "ci_high" || item.key() == "estimate";
    if (of_shift && !got.shift)
      c.differ(std::string_view(item.key()), json::serialize(item.value()), "no interval");
    if (!of_shift || !got.shift) continue;
    const double value = item.key() == "ci_low"    ? got.shift->low
                         : item.key() == "ci_high" ? got.shift->high
                                                   : got.shift->estimate;
    c.number(std::string_view(item.key()), value, item.value(), tolerance);
  }
}

// "0.02/2", or a number.
void check_normal_quantile(const json::value& value, VectorTally& tally) {
  const auto* object = value.if_object();
  if (object == nullptr) return tally.fail("z_quantile", "is not an object");
  Case c(*object, "z_quantile");
  double p = 0;
  if (const auto* text = c.input.find("p"); text != nullptr && text->is_string()) {
    const std::string fraction(text->get_string());
    const auto slash = fraction.find('/');
    p = std::strtod(fraction.c_str(), nullptr);
    if (slash != std::string::npos) p /= std::strtod(fraction.c_str() + slash + 1, nullptr);
  } else {
    p = c.input.number("p");
  }
  const auto* expected = c.input.find("value");
  if (expected == nullptr) {
    c.input.refuse("nothing is expected");
  } else {
    c.number("quantile", judge::normal_quantile(p), *expected, 1e-6);
  }
  c.finish(tally);
}

void check_default(const std::string& key, const json::value& value, VectorTally& tally) {
  const rank::MetricOptions usual;
  rank::MetricOptions cles;
  cles.measure = rank::EffectMeasure::common_language;
  const auto limit = [](const std::optional<double>& v) { return v.value_or(1.0); };
  const std::map<std::string, json::value> ours = {
      {"judge", "NetflixACAJudge-v1.0"},
      {"tolerance", usual.tolerance},
      {"conf_level", usual.confidence},
      {"direction", usual.direction == rank::Direction::either ? "either" : "other"},
      {"nanStrategy", usual.nan_strategy == rank::NanStrategy::remove ? "remove" : "replace"},
      {"outliers.strategy", usual.remove_outliers ? "remove" : "keep"},
      {"outliers.outlierFactor", usual.outlier_factor},
      {"outliers.reduceSensitivity", true},
      {"critical", usual.critical},
      {"mustHaveData", usual.must_have_data},
      {"muted", false},
      {"effectSize.measure",
       usual.measure == rank::EffectMeasure::mean_ratio ? "meanRatio" : "cles"},
      {"effectSize.allowedIncrease", limit(usual.allowed_increase)},
      {"effectSize.allowedDecrease", limit(usual.allowed_decrease)},
      {"effectSize.criticalIncrease", limit(usual.critical_increase)},
      {"effectSize.criticalDecrease", limit(usual.critical_decrease)},
      {"effectSize.default_for_cles", 0.5},
      {"NODATA_THRESHOLD_percent", 50}};
  const auto it = ours.find(key);
  if (it == ours.end()) return tally.fail("defaults: " + key, "unknown setting");
  const bool same = value.is_number() && it->second.is_number()
                        ? value.to_number<double>() == it->second.to_number<double>()
                        : value == it->second;
  if (same) return tally.pass();
  tally.fail("defaults: " + key, fmt::format("{} expected, got {}", json::serialize(value),
                                             json::serialize(it->second)));
}

} // namespace

void check_rank_cases(const json::object& file, VectorTally& tally) {
  using Check = void (*)(Case&);
  static constexpr std::pair<std::string_view, Check> kSections[] = {
      {"mann_whitney", check_shift},
      {"wilcoxon_diff", check_score_function},
      {"mann_whitney_classifier", check_classifier},
      {"mean_inequality_classifier", check_mean_classifier},
      {"effect_sizes", check_effect},
      {"descriptive", check_description},
      {"outlier_detectors", check_detector},
      {"transforms", check_transform},
      {"scoring", check_scoring},
      {"standalone_aggregate", check_run},
      {"user_reported_weak_spots", check_weak_spot},
  };
  for (const auto& item : file) {
    const std::string_view section(item.key().data(), item.key().size());
    if (section == "source" || section == "notes") continue;
    if (section == "z_quantile") {
      check_normal_quantile(item.value(), tally);
      continue;
    }
    if (section == "defaults" && item.value().is_object()) {
      for (const auto& setting : item.value().get_object())
        check_default(std::string(setting.key()), setting.value(), tally);
      continue;
    }
    const auto* known =
        std::ranges::find(kSections, section, &std::pair<std::string_view, Check>::first);
    if (known == std::end(kSections) || !item.value().is_array()) {
      tally.fail(std::string(section), "is not a section of cases that is known");
      continue;
    }
    for (const auto& entry : item.value().get_array()) {
      if (!entry.is_object()) {
        tally.fail(std::string(section), "a case is not an object");
        continue;
      }
      Case c(entry.get_object(), section);
      known->second(c);
      c.finish(tally);
    }
  }
}

} // namespace coalmine::lab
