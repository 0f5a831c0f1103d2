// Samples, histogram arithmetic, series index, head and presence, each by itself.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "store/ingest/presence_book.h"
#include "store/series/head.h"
#include "store/series/histogram_math.h"
#include "store/series/series_index.h"
#include "store/testing.h"

namespace coalmine::store {
namespace {

using testing::bounds;
using testing::classic;

TEST(SampleRun, KeepsOrderAndOneSampleAMillisecond) {
  SampleRun run;
  EXPECT_TRUE(run.upsert(FloatSample{10, 0, 1}));
  EXPECT_TRUE(run.upsert(FloatSample{30, 0, 3}));
  EXPECT_TRUE(run.upsert(FloatSample{20, 0, 2}));
  EXPECT_FALSE(run.upsert(FloatSample{20, 0, 22}));
  ASSERT_EQ(run.size(), 3u);
  EXPECT_EQ(run.floats[1].value, 22);
  EXPECT_EQ(run.count(10, 20), 2u);
  EXPECT_EQ(run.count(11, 19), 0u);
  EXPECT_EQ(run.count(30, 10), 0u);
  EXPECT_TRUE(run.contains(Sample(FloatSample{20, 0, 22})));
  EXPECT_FALSE(run.contains(Sample(FloatSample{20, 5, 22})));
  SampleRun newer;
  newer.upsert(FloatSample{20, 0, 5});
  newer.upsert(FloatSample{25, 0, 6});
  run.overlay(newer);
  ASSERT_EQ(run.size(), 4u);
  EXPECT_EQ(run.floats[1].value, 5);
  EXPECT_EQ(run.floats[2].value, 6);
  run.drop_before(25);
  EXPECT_EQ(run.first_ms(), 25);
}

TEST(SampleRun, OverlayIsTheSameAsUpsertingOneByOne) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    SampleRun merged, expected, newer;
    for (int i = 0; i < 20; ++i) {
      const FloatSample s{static_cast<std::int64_t>(random() % 40), 0, static_cast<double>(i)};
      (void)merged.upsert(s);
      (void)expected.upsert(s);
    }
    for (int i = 0; i < 20; ++i)
      (void)newer.upsert(FloatSample{static_cast<std::int64_t>(random() % 60), 0, 100.0 + i});
    for (const auto& s : newer.floats) (void)expected.upsert(s);
    merged.overlay(newer);
    ASSERT_EQ(merged.size(), expected.size());
    for (std::size_t i = 0; i < merged.size(); ++i)
      EXPECT_TRUE(same(merged.floats[i], expected.floats[i]));
  }
}

TEST(HistogramMath, RejectsWhatIsNoHistogram) {
  auto wrong_size = classic(bounds({1, 2}), {1, 2});
  EXPECT_FALSE(normalise(wrong_size));
  auto falling = classic(bounds({2, 1}), {1, 2, 3});
  EXPECT_FALSE(normalise(falling));
  auto nan = classic(bounds({1, std::nan("")}), {1, 2, 3});
  EXPECT_FALSE(normalise(nan));
  ClassicHistogram bare;
  bare.count = 7;
  EXPECT_TRUE(normalise(bare));
  EXPECT_EQ(bare.counts, std::vector<std::uint64_t>{7});
  auto open = classic(bounds({1, INFINITY}), {1, 2, 3});
  EXPECT_TRUE(normalise(open));
  EXPECT_EQ(open.bounds->size(), 1u);
  EXPECT_EQ(open.counts, (std::vector<std::uint64_t>{1, 5}));
}

TEST(HistogramMath, IncreaseAndReset) {
  const auto b = bounds({1, 2});
  const auto grown = increase(classic(b, {1, 1, 0}), classic(b, {3, 1, 1}));
  ASSERT_TRUE(grown);
  EXPECT_EQ(grown->counts, (std::vector<std::uint64_t>{2, 0, 1}));
  EXPECT_EQ(grown->count, 3u);
  EXPECT_FALSE(increase(classic(b, {3, 0, 0}), classic(b, {2, 5, 0}))) << "a bucket fell";
  EXPECT_FALSE(increase(classic(b, {1, 0, 0}), classic(bounds({1, 3}), {1, 0, 0})))
      << "other bounds";
}

ExponentialHistogram random_exponential(std::mt19937& random, int scale) {
  ExponentialHistogram out;
  out.scale = scale;
  out.positive.offset = static_cast<std::int32_t>(random() % 200) - 100;
  for (int i = 0; i < 20; ++i) out.positive.counts.push_back(random() % 5);
  out.zero_count = random() % 3;
  out.count = out.zero_count;
  for (const auto n : out.positive.counts) out.count += n;
  out.sum = static_cast<double>(out.count);
  (void)normalise(out);
  return out;
}

TEST(HistogramMath, ExponentialTotalsGrowByTheirDeltas) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    auto total = random_exponential(random, static_cast<int>(random() % 6));
    const auto before = total;
    const auto delta = random_exponential(random, static_cast<int>(random() % 6));
    merge(total, delta);
    EXPECT_EQ(total.count, before.count + delta.count);
    const auto grown = increase(before, total);
    ASSERT_TRUE(grown);
    EXPECT_EQ(grown->count, delta.count);
    const auto as_classic = to_classic(*grown, 1000, fixed_bounds_ms());
    std::uint64_t sum = 0;
    for (const auto n : as_classic.counts) sum += n;
    EXPECT_EQ(sum, delta.count);
  }
}

TEST(HistogramMath, FarApartBucketsAreMergedWithinTheLimit) {
  ExponentialHistogram a, b;
  a.scale = b.scale = 20;
  a.positive = {INT32_MIN / 2, {1}};
  b.positive = {INT32_MAX / 2, {1}};
  a.count = b.count = 1;
  merge(a, b);
  EXPECT_EQ(a.count, 2u);
  EXPECT_LE(static_cast<std::int64_t>(a.positive.counts.size()), kMaxBuckets);
}

TEST(HistogramMath, ExponentialBucketsNeverLookFaster) {
  ExponentialHistogram h; // scale 0: bucket 0 is (1, 2]
  h.positive = {0, {4, 3}};
  h.count = 7;
  const auto seconds = to_classic(h, 1000, fixed_bounds_ms());
  EXPECT_EQ(seconds.counts[18], 4u) << "(1 s, 2 s] ends at the bound 2000";
  EXPECT_EQ(seconds.counts[20], 3u) << "(2 s, 4 s] fits below 5000 only";
}

TEST(HistogramMath, SecondsScaleToExactMilliseconds) {
  EXPECT_EQ(*scale_bounds(bounds({0.005, 0.01, 0.025, 0.075, 2.5}), 1000),
            (std::vector<double>{5, 10, 25, 75, 2500}));
}

SeriesInfo info(std::initializer_list<Labels::Pair> labels, MetricKind kind = MetricKind::counter,
                Source source = Source::sent) {
  SeriesInfo out;
  out.labels = std::make_shared<const Labels>(Labels::of(labels));
  out.kind = kind;
  out.source = source;
  return out;
}

std::vector<std::uint64_t> ids(const SeriesIndex& index, const std::vector<Matcher>& matchers) {
  const auto compiled = compile_all(matchers);
  EXPECT_TRUE(compiled);
  std::vector<std::uint64_t> out;
  for (const auto* found : index.match(*compiled)) out.push_back(found->id.value);
  return out;
}

using Op = Matcher::Op;
using Ids = std::vector<std::uint64_t>;

TEST(SeriesIndex, MatchersAsInPrometheus) {
  SeriesIndex index(100);
  ASSERT_TRUE(index.add(info({{"__name__", "up"}, {"job", "a"}})));                // 1
  ASSERT_TRUE(index.add(info({{"__name__", "up"}, {"job", "b"}, {"zone", "x"}}))); // 2
  ASSERT_TRUE(index.add(info({{"__name__", "down"}, {"job", "a\nb"}})));           // 3
  struct Case {
    std::vector<Matcher> matchers;
    Ids expected;
  };
  const std::vector<Case> cases = {
      {{}, {1, 2, 3}},
      {{{"__name__", Op::equal, "up"}}, {1, 2}},
      {{{"__name__", Op::not_equal, "up"}}, {3}},
      {{{"zone", Op::equal, ""}}, {1, 3}},
      {{{"zone", Op::not_equal, ""}}, {2}},
      {{{"zone", Op::not_equal, "x"}}, {1, 3}},
      {{{"zone", Op::regexp, ".*"}}, {1, 2, 3}},
      {{{"zone", Op::regexp, ".+"}}, {2}},
      {{{"zone", Op::not_regexp, ".+"}}, {1, 3}},
      {{{"job", Op::regexp, "a"}}, {1}},
      {{{"job", Op::regexp, "a.b"}}, {3}},
      {{{"job", Op::regexp, "a|b"}}, {1, 2}},
      {{{"job", Op::regexp, "a|b"}, {"zone", Op::regexp, "x|"}}, {1, 2}},
      {{{"__name__", Op::regexp, "u.|d.*"}, {"job", Op::not_regexp, "a.*"}}, {2}},
      {{{"nope", Op::equal, "1"}}, {}},
      {{{"nope", Op::not_equal, "1"}, {"job", Op::equal, "b"}}, {2}},
      {{{"job", Op::equal, "a"}, {"job", Op::not_equal, "a"}}, {}},
  };
  for (const auto& c : cases)
    EXPECT_EQ(ids(index, c.matchers), c.expected) << ::testing::PrintToString(c.matchers.size());
  EXPECT_FALSE(compile_all({{"job", Op::regexp, "(["}}));
}

TEST(SeriesIndex, IdentityIsLabelsSourceAndKind) {
  SeriesIndex index(100);
  const auto a = index.add(info({{"__name__", "x"}}));
  const auto b = index.add(info({{"__name__", "x"}}, MetricKind::counter, Source::spans));
  const auto c = index.add(info({{"__name__", "x"}}, MetricKind::gauge));
  ASSERT_TRUE(a && b && c);
  const Labels labels = Labels::of({{"__name__", "x"}});
  EXPECT_EQ(index.find(labels, labels.hash(), Source::sent, MetricKind::counter), *a);
  EXPECT_EQ(index.find(labels, labels.hash(), Source::spans, MetricKind::counter), *b);
  EXPECT_EQ(index.find(labels, labels.hash(), Source::sent, MetricKind::gauge), *c);
  EXPECT_EQ(index.find(labels, labels.hash(), Source::histogram, MetricKind::counter), nullptr);
  index.remove({(*b)->id});
  EXPECT_EQ(index.find(labels, labels.hash(), Source::spans, MetricKind::counter), nullptr);
  EXPECT_EQ(ids(index, {{"__name__", Op::equal, "x"}}), (Ids{1, 3}));
}

TEST(SeriesIndex, TheLimitNamesTheLabelWithMostValues) {
  SeriesIndex index(3);
  for (const char* user : {"1", "2", "3"})
    ASSERT_TRUE(index.add(info({{"service_name", "shop"}, {"user_id", user}, {"zone", "x"}})));
  const auto refused = index.add(info({{"service_name", "shop"}, {"user_id", "4"}}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::resource_exhausted);
  EXPECT_NE(refused.error().message.find("shop"), std::string::npos);
  EXPECT_NE(refused.error().message.find("user_id has 3 values"), std::string::npos)
      << refused.error().message;
  EXPECT_TRUE(index.add(info({{"service_name", "other"}, {"user_id", "4"}})));
}

TEST(SeriesIndex, RowsComeBack) {
  auto row = info({{"__name__", "x"}, {"a", "b"}}, MetricKind::histogram, Source::spans);
  row.metric = std::make_shared<const MetricDescription>(MetricDescription{"o", "ms", "h"});
  row.filler = true;
  const auto bytes = encode_series(row);
  const auto back = decode_series(SeriesId{9}, bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back->labels, *row.labels);
  EXPECT_EQ(*back->metric, *row.metric);
  EXPECT_EQ(back->kind, row.kind);
  EXPECT_EQ(back->source, row.source);
  EXPECT_TRUE(back->filler && back->stored && !back->guessed && !back->scope);
  row.scope = std::make_shared<const Labels>(Labels::of({{"otel_scope_name", "s"}}));
  EXPECT_EQ(*decode_series(SeriesId{9}, encode_series(row))->scope, *row.scope);
  // As schema 5 wrote it: without the scope, and a filler's zeros may be guesses.
  auto old = bytes.substr(0, bytes.size() - 1);
  old[0] = 1;
  const auto older = decode_series(SeriesId{9}, old);
  ASSERT_TRUE(older);
  EXPECT_EQ(*older->labels, *row.labels);
  EXPECT_TRUE(older->filler && older->guessed && !older->scope);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut)
    EXPECT_FALSE(decode_series(SeriesId{9}, bytes.substr(0, cut)));
}

TEST(Head, CountsAndForgets) {
  Head head;
  head.upsert(SeriesId{1}, FloatSample{100, 0, 1});
  head.upsert(SeriesId{1}, FloatSample{100, 0, 2});
  head.upsert(SeriesId{2}, FloatSample{200, 0, 1});
  EXPECT_EQ(head.sample_count(), 2u);
  EXPECT_EQ(head.with_samples_before(150), std::vector<SeriesId>{SeriesId{1}});
  head.add_chunk(SeriesId{1}, {0, kBlockMs - 1, 2});
  head.add_chunk(SeriesId{1}, {0, 50, 1});
  EXPECT_EQ(head.find(SeriesId{1})->chunks.front().number, 1u);
  head.drop_samples_before(SeriesId{1}, 101);
  EXPECT_EQ(head.sample_count(), 1u);
  head.drop_chunks_before(kBlockMs);
  EXPECT_TRUE(head.find(SeriesId{1})->chunks.empty());
  EXPECT_TRUE(head.find(SeriesId{1})->samples.empty());
  head.erase(SeriesId{1});
  EXPECT_EQ(head.find(SeriesId{1}), nullptr);
}

TEST(Head, ChunkListsComeBack) {
  const std::vector<ChunkEntry> entries = {{SeriesId{1}, {1, 2, 3}},
                                           {SeriesId{99}, {-5, 1'700'000'000'000, 4}}};
  const auto bytes = encode_chunk_list(entries);
  const auto back = decode_chunk_list(bytes);
  ASSERT_TRUE(back);
  ASSERT_EQ(back->size(), 2u);
  EXPECT_EQ((*back)[1].series.value, 99u);
  EXPECT_EQ((*back)[1].ref.min_ms, -5);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 4);
    EXPECT_FALSE(decode_chunk_list(flipped));
  }
}

TEST(PresenceBook, FirstLastAndLongestInterval) {
  PresenceBook book;
  const auto canary = testing::resource("shop", "canary", "2");
  const auto see = [&](std::int64_t time_ms) {
    PresenceBook::Draft draft(book);
    draft.see_point(*canary, time_ms);
    for (auto& [key, row] : draft.finish()) {
      const auto back = decode_presence(encode_presence(row));
      ASSERT_TRUE(back);
      book.set(key, *back);
    }
  };
  for (const std::int64_t t : {1'000'000, 1'015'000, 1'030'500, 1'031'000, 9'000'000}) see(t);
  const auto all = book.all();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].track, "canary");
  EXPECT_EQ(all[0].first_ms, 1'000'000);
  EXPECT_EQ(all[0].last_ms, 9'000'000);
  EXPECT_EQ(all[0].export_interval_ms, 15'500) << "the long silence is an outage, no interval";
}

} // namespace
} // namespace coalmine::store
