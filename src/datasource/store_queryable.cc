// SPDX-License-Identifier: Apache-2.0
#include "datasource/store_queryable.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <unordered_set>

#include "promql/eval/eval_types.h"
#include "promql/eval/histogram_math.h"
#include "promql/syntax/go_text.h"
#include "promql/syntax/series_matcher.h"

namespace coalmine::datasource {
namespace {

using store::SelectRequest;

constexpr std::string_view kBucketLabel = "le";
// A classic histogram x is presented as the counters x_bucket{le}, x_sum and x_count.
enum class View { bucket, sum, count };
struct ViewName {
  View view;
  std::string_view suffix;
};
constexpr std::array<ViewName, 3> kViews = {
    {{View::bucket, "_bucket"}, {View::sum, "_sum"}, {View::count, "_count"}}};

bool is_name(const Matcher& m) { return m.name == kMetricName; }
bool is_le(const Matcher& m) { return m.name == kBucketLabel; }

// The histogram of a point in Prometheus's form. Buckets are numbered by their upper bound, so
// every index is one more.
std::shared_ptr<const promql::NativeHistogram> to_native(const ExponentialSample& sample) {
  auto out = std::make_shared<promql::NativeHistogram>();
  const ExponentialHistogram& from = sample.value;
  const auto side = [](const ExponentialHistogram::Buckets& b) {
    promql::NativeHistogram::Buckets buckets;
    buckets.offset = b.offset + 1;
    buckets.counts.assign(b.counts.begin(), b.counts.end());
    return buckets;
  };
  out->schema = from.scale;
  out->zero_threshold = from.zero_threshold;
  out->zero_count = static_cast<double>(from.zero_count);
  out->count = static_cast<double>(from.count);
  out->sum = sample.stale ? stale_value() : from.sum;
  out->positive = side(from.positive);
  out->negative = side(from.negative);
  if (out->schema > 8) *out = promql::reduced_to_schema(*out, 8);
  if (!promql::is_sound(*out))
    return nullptr; // coarser than schema -4, or buckets beyond what a float64 holds
  return out;
}

// The counters of one classic histogram series.
class ClassicView {
 public:
  ClassicView(const Labels& labels, const promql::SeriesMatcher& matcher)
      : base_(labels), matcher_(matcher) {}

  void buckets(const SeriesData& data) {
    const std::vector<double>* bounds = nullptr;
    // One for each bound, the last for +Inf; null if a matcher refuses it.
    std::vector<promql::Series*> columns;
    for (const ClassicSample& sample : data.classic) {
      if (sample.stale) {
        end_all(columns, sample.time_ms);
        continue;
      }
      if (const std::vector<double>* now = sample.value.bounds.get();
          bounds == nullptr || now != bounds) {
        std::vector<promql::Series*> next = columns_for(now);
        for (promql::Series* column : columns) { // buckets that are no longer reported end here
          if (column != nullptr && std::ranges::find(next, column) == next.end())
            column->floats.push_back({sample.time_ms, stale_value(), 0});
        }
        columns = std::move(next);
        bounds = now;
      }
      std::uint64_t below = 0;
      for (std::size_t i = 0; i < columns.size(); ++i) {
        if (i < sample.value.counts.size()) below += sample.value.counts[i];
        const std::uint64_t value = i + 1 == columns.size() ? sample.value.count : below;
        if (columns[i] != nullptr)
          columns[i]->floats.push_back(
              {sample.time_ms, static_cast<double>(value), sample.start_ms});
      }
    }
  }

  void total(const SeriesData& data, View view) {
    promql::Series* column = column_for(base_.with(
        kMetricName, std::string(base_.metric_name()) + (view == View::sum ? "_sum" : "_count")));
    if (column == nullptr) return;
    for (const ClassicSample& sample : data.classic) {
      const double value =
          view == View::sum ? sample.value.sum : static_cast<double>(sample.value.count);
      column->floats.push_back(
          {sample.time_ms, sample.stale ? stale_value() : value, sample.start_ms});
    }
  }

  void take(std::vector<promql::Series>& out) {
    for (auto& [key, series] : columns_) {
      if (series) out.push_back(std::move(*series));
    }
  }

 private:
  std::vector<promql::Series*> columns_for(const std::vector<double>* bounds) {
    std::vector<promql::Series*> out;
    const Labels named = base_.with(kMetricName, std::string(base_.metric_name()) + "_bucket");
    for (std::size_t i = 0; bounds != nullptr && i < bounds->size(); ++i) {
      out.push_back(column_for(named.with(kBucketLabel, promql::format_decimal((*bounds)[i]))));
    }
    out.push_back(column_for(named.with(kBucketLabel, "+Inf")));
    return out;
  }

  promql::Series* column_for(Labels labels) {
    auto& slot = columns_[labels];
    if (!slot && matcher_.matches(labels)) {
      slot = std::make_unique<promql::Series>();
      slot->labels = std::move(labels);
    }
    return slot.get();
  }

  static void end_all(const std::vector<promql::Series*>& columns, std::int64_t time_ms) {
    for (promql::Series* column : columns) {
      if (column != nullptr) column->floats.push_back({time_ms, stale_value(), 0});
    }
  }

  const Labels& base_;
  const promql::SeriesMatcher& matcher_;
  std::map<Labels, std::unique_ptr<promql::Series>> columns_;
};

// Histograms or floats of a store, by id.
class StoreColumns final : public promql::ColumnSource {
 public:
  StoreColumns(const store::Store& store, std::vector<store::FoundSeries> found,
               store::ColumnRequest request, bool buckets, promql::SeriesMatcher matcher)
      : store_(store),
        found_(std::move(found)),
        request_(request),
        buckets_(buckets),
        matcher_(std::move(matcher)) {}

  std::size_t size() const override { return found_.size(); }
  const Labels& labels(std::size_t series) const override { return *found_[series].labels; }
  bool buckets() const override { return buckets_; }
  bool accepts_bound(std::string_view le) const override {
    return matcher_.accepts(kBucketLabel, le);
  }
  Status read(std::span<const std::size_t> order, const Visit& visit) const override {
    std::vector<SeriesId> ids;
    ids.reserve(order.size());
    for (const std::size_t i : order) ids.push_back(found_[i].id);
    return store_.read_columns(ids, request_, [&](std::size_t place, const SampleColumns& columns) {
      return visit(order[place], columns);
    });
  }

 private:
  const store::Store& store_;
  const std::vector<store::FoundSeries> found_;
  const store::ColumnRequest request_;
  const bool buckets_;
  const promql::SeriesMatcher matcher_;
};

// Series that differ only in kind or source have the same labels.
bool distinct(const std::vector<store::FoundSeries>& found) {
  const auto one_sort = [&](const store::FoundSeries& f) {
    return f.kind == found[0].kind && f.source == found[0].source;
  };
  if (std::ranges::all_of(found, one_sort)) return true;
  std::unordered_set<Labels, LabelsHash> seen;
  return std::ranges::all_of(
      found, [&](const store::FoundSeries& f) { return seen.insert(*f.labels).second; });
}

class StoreQueryable final : public promql::Queryable {
 public:
  explicit StoreQueryable(const store::Store& store) : store_(store) {}

  Result<std::vector<promql::Series>> select(const promql::Selection& selection) const override {
    const promql::SeriesMatcher matcher(selection.matchers);
    std::vector<promql::Series> out;
    std::size_t samples = 0;
    std::size_t visited = 0;
    TRY_ASSIGN(const std::set<std::string> names, base_names(selection, matcher));
    for (const std::string& name : names) {
      TRY_ASSIGN(std::vector<SeriesData> found,
                 store_.select(request(selection, &name, Samples::with)));
      for (const SeriesData& data : found) {
        if (++visited % 64 == 0 && selection.give_up && selection.give_up()) {
          return fail(ErrorCode::deadline_exceeded, "given up while series were read");
        }
        const std::size_t before = out.size();
        append(data, matcher, out);
        for (std::size_t i = before; i < out.size(); ++i)
          samples += out[i].floats.size() + out[i].histograms.size();
        if (samples > selection.max_samples) {
          return fail(ErrorCode::resource_exhausted,
                      "the selection holds more samples than a query may load; narrow it or "
                      "shorten the range");
        }
      }
    }
    std::erase_if(out,
                  [](const promql::Series& s) { return s.floats.empty() && s.histograms.empty(); });
    return out;
  }

  Result<std::unique_ptr<promql::ColumnSource>> columns(
      const promql::Selection& selection) const override {
    const auto names = std::ranges::count_if(selection.matchers, is_name);
    const auto name = std::ranges::find_if(selection.matchers, is_name);
    if (names != 1 || name->op != Matcher::Op::equal) return nullptr;
    const bool by_le = std::ranges::any_of(selection.matchers, is_le);
    promql::SeriesMatcher matcher(selection.matchers);
    std::vector<store::FoundSeries> found;
    std::optional<ViewName> view;
    TRY_ASSIGN(const std::set<std::string> bases, base_names(selection, matcher));
    for (const std::string& base : bases) {
      TRY_ASSIGN(std::vector<store::FoundSeries> some,
                 store_.find(request(selection, &base, Samples::with)));
      if (base == name->value) {
        std::erase_if(some, [&](const store::FoundSeries& f) {
          return f.kind == MetricKind::histogram ||
                 (by_le && !matcher.accepts(kBucketLabel, f.labels->get(kBucketLabel)));
        });
      } else {
        std::erase_if(some,
                      [](const store::FoundSeries& f) { return f.kind != MetricKind::histogram; });
        if (some.empty()) continue;
        view = *std::ranges::find_if(
            kViews, [&](const ViewName& v) { return name->value == base + std::string(v.suffix); });
      }
      if (!some.empty() && !found.empty())
        return nullptr; // x_bucket both from histograms and as sent
      if (found.empty()) found = std::move(some);
    }
    const bool buckets = view && view->view == View::bucket;
    if (view && !buckets && by_le) return nullptr;
    const auto odd = [&](const store::FoundSeries& f) {
      return f.kind == MetricKind::exponential || (view && f.labels->has(kBucketLabel));
    };
    if (std::ranges::any_of(found, odd) || !distinct(found)) return nullptr;
    const auto part = buckets                           ? HistogramPart::buckets
                      : view && view->view == View::sum ? HistogramPart::sum
                                                        : HistogramPart::count;
    return std::make_unique<StoreColumns>(
        store_, std::move(found),
        store::ColumnRequest{selection.from_ms, selection.to_ms, part, selection.one_window},
        buckets, std::move(matcher));
  }

  Result<std::vector<Labels>> series(const promql::Selection& selection) const override {
    std::vector<Labels> out;
    // Samples are read too, because they hold the bounds of histograms.
    TRY_ASSIGN(std::vector<promql::Series> found, select(selection));
    for (promql::Series& one : found) out.push_back(std::move(one.labels));
    std::ranges::sort(out);
    const auto same = std::ranges::unique(out);
    out.erase(same.begin(), same.end());
    return out;
  }

  Result<std::vector<std::string>> label_names(const promql::Selection& selection) const override {
    return collect(selection, "", [](const Labels& labels, std::set<std::string>& out) {
      for (const auto [name, value] : labels) out.emplace(name);
    });
  }

  Result<std::vector<std::string>> label_values(std::string_view label,
                                                const promql::Selection& selection) const override {
    return collect(selection, label, [&](const Labels& labels, std::set<std::string>& out) {
      if (const std::string_view value = labels.get(label); !value.empty())
        out.insert(std::string(value));
    });
  }

 private:
  // The request to the store, without the matchers that only the view can check.
  enum class Samples { with, without };
  static SelectRequest request(const promql::Selection& selection, const std::string* base_name,
                               Samples samples) {
    SelectRequest out;
    for (const Matcher& matcher : selection.matchers) {
      if (!is_name(matcher) && !is_le(matcher)) out.matchers.push_back(matcher);
    }
    if (base_name != nullptr)
      out.matchers.push_back({std::string(kMetricName), Matcher::Op::equal, *base_name});
    out.from_ms = selection.from_ms;
    out.to_ms = selection.to_ms;
    out.with_samples = samples == Samples::with;
    out.max_samples = selection.max_samples;
    out.give_up = selection.give_up;
    return out;
  }

  // Names in the store whose series, or views of them, the selection's name matchers accept.
  Result<std::set<std::string>> base_names(const promql::Selection& selection,
                                           const promql::SeriesMatcher& matcher) const {
    std::set<std::string> out;
    for (const Matcher& one : selection.matchers) {
      if (!is_name(one) || one.op != Matcher::Op::equal) continue;
      out.insert(one.value);
      for (const ViewName& view : kViews) {
        if (one.value.ends_with(view.suffix))
          out.insert(one.value.substr(0, one.value.size() - view.suffix.size()));
      }
      return out;
    }
    TRY_ASSIGN(const std::vector<SeriesData> known,
               store_.select(request(selection, nullptr, Samples::without)));
    for (const SeriesData& data : known) {
      if (!view_names(data, matcher).empty()) out.insert(std::string(data.labels->metric_name()));
    }
    return out;
  }

  // The names under which the series is presented, as far as the name matchers accept them.
  static std::vector<std::string> view_names(const SeriesData& data,
                                             const promql::SeriesMatcher& matcher) {
    const std::string base(data.labels->metric_name());
    std::vector<std::string> all;
    if (data.kind == MetricKind::histogram) {
      for (const ViewName& view : kViews) all.push_back(base + std::string(view.suffix));
    } else {
      all.push_back(base);
    }
    std::erase_if(all,
                  [&](const std::string& name) { return !matcher.accepts(kMetricName, name); });
    return all;
  }

  static void append(const SeriesData& data, const promql::SeriesMatcher& matcher,
                     std::vector<promql::Series>& out) {
    if (data.kind == MetricKind::histogram) {
      ClassicView view(*data.labels, matcher);
      const std::string base(data.labels->metric_name());
      for (const ViewName& name : kViews) {
        if (!matcher.accepts(kMetricName, base + std::string(name.suffix))) continue;
        if (name.view == View::bucket) {
          view.buckets(data);
        } else {
          view.total(data, name.view);
        }
      }
      view.take(out);
      return;
    }
    if (!matcher.matches(*data.labels)) return;
    promql::Series series;
    series.labels = *data.labels;
    series.floats.reserve(data.floats.size());
    for (const FloatSample& sample : data.floats)
      series.floats.push_back({sample.time_ms, sample.value, sample.start_ms});
    for (const ExponentialSample& sample : data.exponential) {
      if (auto native = to_native(sample))
        series.histograms.push_back({sample.time_ms, std::move(native), sample.start_ms});
    }
    out.push_back(std::move(series));
  }

  // Labels of all views, without reading samples unless bucket bounds are asked for.
  template <typename Visit>
  Result<std::vector<std::string>> collect(const promql::Selection& selection,
                                           std::string_view wanted, Visit visit) const {
    std::set<std::string> out;
    const bool bounds = wanted == kBucketLabel || std::ranges::any_of(selection.matchers, is_le);
    if (bounds) {
      TRY_ASSIGN(const std::vector<Labels> all, series(selection));
      for (const Labels& labels : all) visit(labels, out);
      return std::vector<std::string>(out.begin(), out.end());
    }
    const promql::SeriesMatcher matcher(selection.matchers);
    TRY_ASSIGN(const std::vector<SeriesData> known,
               store_.select(request(selection, nullptr, Samples::without)));
    for (const SeriesData& data : known) {
      for (const std::string& name : view_names(data, matcher)) {
        Labels labels = data.labels->with(kMetricName, name);
        if (data.kind == MetricKind::histogram && name.ends_with("_bucket"))
          labels = labels.with(kBucketLabel, "+Inf");
        visit(labels, out);
      }
    }
    return std::vector<std::string>(out.begin(), out.end());
  }

  const store::Store& store_;
};

} // namespace

std::unique_ptr<promql::Queryable> make_store_queryable(const store::Store& store) {
  return std::make_unique<StoreQueryable>(store);
}

} // namespace coalmine::datasource
