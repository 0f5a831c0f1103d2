// Everything written to disk reads back bit for bit, and damage is noticed.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <xxhash.h>

#include <bit>
#include <random>

#include "store/series/chunk_codec.h"
#include "store/series/record_codec.h"
#include "store/spans/segment_parts.h"
#include "store/spans/span_segment.h"
#include "store/testing.h"
#include "telemetry/packed_column.h"

namespace coalmine::store {
namespace {

std::int64_t any_start(std::mt19937_64& random, std::int64_t time) {
  return random() % 3 == 0 ? 0 : time - static_cast<std::int64_t>(random() % 100'000);
}

double any_double(std::mt19937_64& random) {
  switch (random() % 6) {
    case 0: return stale_value();
    case 1: return std::bit_cast<double>(random());
    case 2: return -0.0;
    case 3: return static_cast<double>(random() % 1000) / 8;
    default: return static_cast<double>(random() % 100'000);
  }
}

ClassicSample any_classic(std::mt19937_64& random, std::int64_t time, const BucketBounds& bounds) {
  ClassicSample out{time, any_start(random, time), random() % 9 == 0, {}};
  out.value.bounds = bounds;
  for (std::size_t i = 0; i <= bounds->size(); ++i)
    out.value.counts.push_back(random() % 4 == 0 ? random() : random() % 50);
  out.value.count = random() % 7 == 0 ? random() : 12;
  out.value.sum = any_double(random);
  return out;
}

ExponentialSample any_exponential(std::mt19937_64& random, std::int64_t time, std::size_t size) {
  ExponentialSample out{time, any_start(random, time), random() % 9 == 0, {}};
  out.value.scale = static_cast<std::int32_t>(random() % 3);
  out.value.zero_threshold = any_double(random);
  out.value.zero_count = random() % 10;
  out.value.positive.offset = static_cast<std::int32_t>(random() % 3) - 1;
  for (std::size_t i = 0; i < size; ++i) out.value.positive.counts.push_back(random() % 100);
  if (random() % 2 == 0) out.value.negative = {-3, {random(), 2}};
  out.value.count = random() % 1000;
  out.value.sum = any_double(random);
  return out;
}

SampleRun any_run(std::mt19937_64& random, std::size_t size) {
  SampleRun run;
  std::int64_t time = 1'700'000'000'000;
  const auto kind = random() % 4;
  auto bounds = testing::bounds({1, 2.5, 10});
  for (std::size_t i = 0; i < size; ++i) {
    time += random() % 4 == 0 ? static_cast<std::int64_t>(random() % 60'000) + 1 : 15'000;
    if (kind == 0) (void)run.upsert(FloatSample{time, any_start(random, time), any_double(random)});
    if (kind == 1) (void)run.upsert(FloatSample{time, 5, static_cast<double>(i * (random() % 10))});
    if (kind == 2) {
      if (random() % 50 == 0) bounds = testing::bounds({1, static_cast<double>(2 + random() % 5)});
      (void)run.upsert(any_classic(random, time, bounds));
    }
    if (kind == 3) (void)run.upsert(any_exponential(random, time, random() % 5 == 0 ? 2 : 6));
  }
  return run;
}

void expect_same(const SampleRun& a, const SampleRun& b) {
  ASSERT_EQ(a.floats.size(), b.floats.size());
  ASSERT_EQ(a.classic.size(), b.classic.size());
  ASSERT_EQ(a.exponential.size(), b.exponential.size());
  for (std::size_t i = 0; i < a.floats.size(); ++i)
    ASSERT_TRUE(same(a.floats[i], b.floats[i])) << i;
  for (std::size_t i = 0; i < a.classic.size(); ++i)
    ASSERT_TRUE(same(a.classic[i], b.classic[i])) << i;
  for (std::size_t i = 0; i < a.exponential.size(); ++i)
    ASSERT_TRUE(same(a.exponential[i], b.exponential[i])) << i;
}

TEST(ChunkCodec, RandomRunsComeBack) {
  std::mt19937_64 random(42);
  for (int round = 0; round < 400; ++round) {
    const SampleRun run = any_run(random, 1 + random() % 600);
    SampleRun back;
    for (const auto& chunk : encode_chunks(run)) {
      auto decoded = decode_chunk(chunk.bytes);
      ASSERT_TRUE(decoded);
      EXPECT_LE(decoded->size(), kMaxChunkSamples);
      EXPECT_EQ(decoded->first_ms(), chunk.min_ms);
      EXPECT_EQ(decoded->last_ms(), chunk.max_ms);
      back.overlay(std::move(*decoded));
    }
    expect_same(run, back);
  }
}

// A chunk reads the same when its times are in a separate times row.
TEST(ChunkCodec, TimesMayBeElsewhere) {
  std::mt19937_64 random(44);
  for (int round = 0; round < 300; ++round) {
    for (const auto& chunk : encode_chunks(any_run(random, 1 + random() % 300))) {
      const std::uint64_t number = random() >> (random() % 64);
      const auto shared = chunk_with_times_at(chunk, number);
      EXPECT_EQ(times_row_of(chunk.bytes), std::nullopt);
      EXPECT_EQ(times_row_of(shared), number);
      const auto times = decode_times_row(encode_times_row(chunk.times()));
      ASSERT_TRUE(times);
      const auto own = decode_chunk(chunk.bytes);
      const auto back = decode_chunk(shared, *times);
      ASSERT_TRUE(own && back);
      expect_same(*own, *back);
      for (const auto part : {HistogramPart::buckets, HistogramPart::count, HistogramPart::sum}) {
        ChunkColumns reader;
        SampleColumns a;
        SampleColumns b;
        const ColumnRequest request{chunk.min_ms + static_cast<std::int64_t>(random() % 60'000),
                                    chunk.max_ms, part, random() % 2 == 0};
        ASSERT_TRUE(reader.append_to(a, chunk.bytes, request));
        ASSERT_TRUE(reader.append_to(b, shared, request, *times));
        EXPECT_EQ(a.times, b.times);
        ASSERT_EQ(a.values.size(), b.values.size());
        EXPECT_TRUE(a.values.empty() || std::memcmp(a.values.data(), b.values.data(),
                                                    a.values.size() * sizeof(double)) == 0);
        EXPECT_EQ(a.hidden, b.hidden);
      }
      // The times of another chunk are rejected.
      std::vector<std::int64_t> more = *times;
      more.push_back(more.back() + 1);
      EXPECT_FALSE(decode_chunk(shared, more));
      EXPECT_FALSE(decode_chunk(shared));
    }
  }
}

// A chunk that lies inside one window is given by its first and last row when nothing falls between
// them, else in full.
TEST(ChunkCodec, EndsStandForWhatNeverFalls) {
  std::mt19937_64 random(43);
  std::size_t shortened = 0;
  const auto check = [&](const EncodedChunk& chunk, HistogramPart part, std::int64_t from_ms) {
    ChunkColumns reader;
    SampleColumns all;
    SampleColumns ends;
    ASSERT_TRUE(reader.append_to(all, chunk.bytes, {from_ms, chunk.max_ms, part, false}));
    ASSERT_TRUE(reader.append_to(ends, chunk.bytes, {from_ms, chunk.max_ms, part, true}));
    EXPECT_EQ(all.hidden, 0u);
    ASSERT_EQ(ends.times.size() + ends.hidden, all.times.size());
    ASSERT_EQ(ends.values.size(), ends.times.size() * ends.width);
    if (ends.hidden == 0) return;
    ++shortened;
    ASSERT_EQ(ends.times, (std::vector{all.times.front(), all.times.back()}));
    EXPECT_TRUE(std::equal(all.values.begin(),
                           all.values.begin() + static_cast<std::ptrdiff_t>(all.width),
                           ends.values.begin()));
    EXPECT_TRUE(std::equal(all.values.rbegin(),
                           all.values.rbegin() + static_cast<std::ptrdiff_t>(all.width),
                           ends.values.rbegin()));
    for (std::size_t i = all.width; i < all.values.size(); ++i)
      ASSERT_GE(all.values[i], all.values[i - all.width]);
  };
  for (int round = 0; round < 300; ++round) {
    SampleRun run = any_run(random, 1 + random() % 400);
    // Every other run only rises.
    double sum = 0;
    std::vector<std::uint64_t> counts;
    for (auto& s : run.floats) {
      if (round % 2 == 0)
        s.value = sum += round % 4 == 0 ? static_cast<double>(random() % 9)
                                        : 0.25 * static_cast<double>(random() % 9);
    }
    for (auto& s : run.classic) {
      if (round % 2 != 0) break;
      counts.resize(s.value.counts.size());
      for (auto& n : counts) n += random() % 3;
      s.stale = false;
      s.value.counts = counts;
      s.value.count =
          std::accumulate(counts.begin(), counts.end(), std::uint64_t{round % 3 == 0 ? 1u : 0u});
      s.value.sum = sum += 0.5;
    }
    for (const auto& chunk : encode_chunks(run)) {
      for (const auto part : {HistogramPart::buckets, HistogramPart::count, HistogramPart::sum}) {
        check(chunk, part, chunk.min_ms);
        check(chunk, part, chunk.min_ms + 1);
      }
    }
  }
  EXPECT_GT(shortened, 300u);
}

TEST(ChunkCodec, AHistogramWithoutBoundsIsOneColumn) {
  SampleRun run;
  for (std::uint64_t i = 0; i < 5; ++i)
    (void)run.upsert(ClassicSample{1000 + static_cast<std::int64_t>(i), 1, false,
                                   testing::classic(testing::bounds({}), {i})});
  const auto chunks = encode_chunks(run);
  ASSERT_EQ(chunks.size(), 1u);
  ChunkColumns reader;
  SampleColumns columns;
  for (int twice = 0; twice < 2; ++twice)
    ASSERT_TRUE(
        reader.append_to(columns, chunks[0].bytes, {0, INT64_MAX, HistogramPart::buckets, false}));
  EXPECT_EQ(columns.values, (std::vector<double>{0, 1, 2, 3, 4, 0, 1, 2, 3, 4}));
}

TEST(ChunkCodec, ChunksWithoutSummaryAreRead) {
  std::string bytes;
  ByteWriter w(bytes);
  w.u8(2); // version
  w.u8(0); // integers
  w.u8(3); // samples
  w.zigzag(1000);
  w.zigzag(15'000);
  write_column(w, std::vector<std::int64_t>{0});
  w.varint(3);
  w.zigzag(5);
  w.zigzag(7);
  write_column(w, std::vector<std::int64_t>{1, 2});
  w.u32(static_cast<std::uint32_t>(XXH3_64bits(bytes.data(), bytes.size())));
  const auto run = decode_chunk(bytes);
  ASSERT_TRUE(run);
  ASSERT_EQ(run->floats.size(), 3u);
  EXPECT_EQ(run->floats[2].time_ms, 31'000);
  EXPECT_EQ(run->floats[2].start_ms, 5);
  EXPECT_EQ(run->floats[2].value, 10);
  ChunkColumns reader;
  SampleColumns columns;
  ASSERT_TRUE(reader.append_to(columns, bytes, {0, INT64_MAX, HistogramPart::buckets, true}));
  EXPECT_EQ(columns.values, (std::vector<double>{7, 8, 10}));
}

TEST(ChunkCodec, AnExponentialHistogramMayShrinkToNothing) {
  SampleRun run;
  ExponentialHistogram wide;
  wide.positive.counts.assign(300, 1);
  wide.count = 300;
  (void)run.upsert(ExponentialSample{1000, 1, false, wide});
  (void)run.upsert(ExponentialSample{2000, 1, false, {}});
  const auto chunks = encode_chunks(run);
  ASSERT_EQ(chunks.size(), 1u);
  const auto back = decode_chunk(chunks[0].bytes);
  ASSERT_TRUE(back);
  expect_same(run, *back);
}

TEST(ChunkCodec, RegularCountersAreSmall) {
  SampleRun run;
  for (int i = 0; i < 240; ++i)
    (void)run.upsert(FloatSample{1'700'000'000'000 + i * 15'000, 1'699'000'000'000, i * 37.0});
  const auto chunks = encode_chunks(run);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_LT(chunks[0].bytes.size(), 240u * 11 / 10) << "about a byte a sample";
}

TEST(ChunkCodec, AHistogramCostsLessThanAByteAPresentedSample) {
  std::mt19937_64 random(5);
  const auto bounds = testing::bounds(
      {5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000, 2000, 3000, 5000});
  SampleRun run;
  ClassicHistogram h;
  h.bounds = bounds;
  h.counts.assign(20, 0);
  for (int i = 0; i < 120; ++i) {
    for (std::size_t b = 0; b < 20; ++b) {
      const auto more = b < 12 ? random() % 10 : random() % 60 == 0 ? 1 : 0;
      h.counts[b] += more;
      h.count += more;
      h.sum += static_cast<double>(more) * (1 + static_cast<double>(random() % 1000) / 1000);
    }
    (void)run.upsert(ClassicSample{1'700'000'000'000 + i * 15'000, 1'699'000'000'000, false, h});
  }
  const auto chunks = encode_chunks(run);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_LT(chunks[0].bytes.size(), 120u * 22 * 8 / 10);
}

TEST(PackedColumn, AnyNumbersComeBack) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::int64_t> values(random() % 100);
    for (auto& v : values) v = static_cast<std::int64_t>(random()) >> (random() % 64);
    std::string bytes;
    ByteWriter w(bytes);
    write_column(w, values);
    std::vector<std::int64_t> back(values.size());
    ByteReader r(bytes);
    read_column(r, back);
    EXPECT_TRUE(r.ok() && r.done());
    EXPECT_EQ(back, values);
  }
}

TEST(ChunkCodec, DamageIsNoticed) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 40; ++round) {
    const auto bytes = encode_chunks(any_run(random, 20)).front().bytes;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      auto flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << (random() % 8)));
      EXPECT_FALSE(decode_chunk(flipped));
    }
    EXPECT_FALSE(decode_chunk(std::string_view(bytes).substr(0, bytes.size() / 2)));
  }
  EXPECT_FALSE(decode_chunk(""));
  const auto row = encode_times_row(encode_chunks(any_run(random, 20)).front().times());
  for (std::size_t i = 0; i < row.size(); ++i) {
    auto flipped = row;
    flipped[i] = static_cast<char>(flipped[i] ^ (1 << (random() % 8)));
    EXPECT_FALSE(decode_times_row(flipped));
  }
  EXPECT_FALSE(decode_times_row(""));
}

TEST(RecordCodec, RandomRecordsComeBackAndDamageIsNoticed) {
  std::mt19937_64 random(4);
  const auto one = testing::bounds({1, 2});
  const auto two = testing::bounds({5});
  for (int round = 0; round < 100; ++round) {
    std::vector<StagedSample> samples;
    for (std::size_t i = random() % 30; i > 0; --i) {
      const auto time = static_cast<std::int64_t>(
          random() % 3 == 0 ? random() : 1'700'000'000'000 + random() % 1000);
      Sample sample = FloatSample{time, any_start(random, 1'700'000'000'000), any_double(random)};
      if (random() % 3 == 0) sample = any_classic(random, time, random() % 2 == 0 ? one : two);
      if (random() % 3 == 0) sample = any_exponential(random, time, 3);
      samples.push_back({SeriesId{random() % 1000}, std::move(sample)});
    }
    const auto bytes = encode_record(samples);
    const auto back = decode_record(bytes);
    ASSERT_TRUE(back);
    ASSERT_EQ(back->size(), samples.size());
    for (std::size_t i = 0; i < samples.size(); ++i) {
      EXPECT_EQ((*back)[i].series, samples[i].series);
      ASSERT_EQ((*back)[i].sample.index(), samples[i].sample.index());
      SampleRun a, b;
      (void)a.upsert(samples[i].sample);
      (void)b.upsert((*back)[i].sample);
      expect_same(a, b);
    }
    auto flipped = bytes;
    flipped[random() % flipped.size()] ^= 16;
    EXPECT_FALSE(decode_record(flipped));
  }
}

struct SegmentParts {
  std::vector<Span> spans;
  std::vector<LogRecord> logs;
};

SegmentParts sample_segment() {
  const auto canary = testing::resource("shop", "canary", "2");
  SegmentParts out;
  out.spans.push_back(testing::span(canary, 1, 1, 1000, 1500, SpanKind::server, StatusCode::error,
                                    {{"http.route", std::string("/a")},
                                     {"http.response.status_code", std::int64_t{503}},
                                     {"ratio", 0.5},
                                     {"flag", true},
                                     {"raw", Bytes{"\x01\x02"}},
                                     {"list", JsonText{"[1]"}},
                                     {"none", std::monostate{}}}));
  out.spans.back().events.push_back(
      {testing::ns(1200), "exception", {{"exception.message", std::string("boom")}}});
  out.spans.back().status_message = "no";
  out.spans.back().trace_state = "a=b";
  out.spans.back().flags = 257;
  out.spans.push_back(testing::span(testing::resource("shop"), 2, 2, 3000, 2000, SpanKind::client));
  LogRecord log;
  log.resource = canary;
  log.time_ns = testing::ns(1300);
  log.trace_id.fill(3);
  log.span_id.fill(1);
  log.severity = 17;
  log.body = "broken";
  log.attributes = {{"exception.type", std::string("E")}};
  out.logs.push_back(log);
  return out;
}

// The form of version 0.1.
void write_span(ByteWriter& w, const Span& span) {
  write_id(w, span.trace_id);
  write_id(w, span.span_id);
  write_id(w, span.parent_span_id);
  w.text(span.name);
  w.u8(static_cast<std::uint8_t>(span.kind));
  w.u64(span.start_ns);
  w.zigzag(static_cast<std::int64_t>(span.end_ns - span.start_ns));
  w.u8(static_cast<std::uint8_t>(span.status));
  w.text(span.status_message);
  w.text(span.trace_state);
  w.varint(span.flags);
  write_attributes(w, span.attributes);
  w.varint(span.events.size());
  for (const auto& event : span.events) {
    w.zigzag(static_cast<std::int64_t>(event.time_ns - span.start_ns));
    w.text(event.name);
    write_attributes(w, event.attributes);
  }
}

std::string encode_rows(const SegmentParts& segment) {
  std::string out;
  ByteWriter w(out);
  w.u8(1);
  std::vector<std::shared_ptr<const Resource>> resources;
  for (const auto& span : segment.spans) resources.push_back(span.resource);
  for (const auto& log : segment.logs) resources.push_back(log.resource);
  w.varint(resources.size());
  for (const auto& resource : resources) write_resource(w, *resource);
  std::uint64_t at = 0;
  w.varint(segment.spans.size());
  for (const auto& span : segment.spans) {
    w.varint(at++);
    write_span(w, span);
  }
  w.varint(segment.logs.size());
  for (const auto& log : segment.logs) {
    w.varint(at++);
    write_log(w, log);
  }
  w.u64(XXH3_64bits(out.data(), out.size()));
  return out;
}

// Any span that a sender can build reads back unchanged.
TEST(SpanSegment, RandomSpansComeBack) {
  std::mt19937_64 random(8);
  const auto word = [&](std::size_t kinds) { return "w" + std::to_string(random() % kinds); };
  const auto value = [&]() -> AttributeValue {
    switch (random() % 7) {
      case 0: return std::monostate{};
      case 1: return word(1000);
      case 2: return random() % 2 == 0;
      case 3: return static_cast<std::int64_t>(random() >> random() % 64);
      case 4: return std::bit_cast<double>(random());
      case 5: return Bytes{word(5)};
      default: return JsonText{word(5)};
    }
  };
  const auto attributes = [&](std::size_t most) {
    Attributes out;
    for (std::size_t n = random() % (most + 1); n > 0; --n)
      out.emplace_back(word(10), random() % 2 == 0 ? value() : AttributeValue(word(3)));
    return out;
  };
  for (int round = 0; round < 40; ++round) {
    std::vector<Span> spans(random() % 60);
    for (auto& span : spans) {
      span.resource = testing::resource("s" + std::to_string(random() % 3));
      const std::uint64_t id = random() % 40 + 1;
      std::memcpy(span.trace_id.data(), &id, sizeof id);
      span.span_id[0] = static_cast<std::uint8_t>(random() % 80 + 1);
      if (random() % 2 == 0) span.parent_span_id[0] = static_cast<std::uint8_t>(random() % 80 + 1);
      span.name = random() % 5 == 0 ? "" : word(4);
      span.kind = static_cast<SpanKind>(random() % 6);
      span.status = static_cast<StatusCode>(random() % 3);
      span.start_ns = random() >> random() % 64;
      span.end_ns = random() >> random() % 64;
      span.status_message = random() % 3 == 0 ? word(9) : "";
      span.flags = static_cast<std::uint32_t>(random());
      span.stands_for = static_cast<std::uint32_t>(1 + random() % 9);
      span.attributes = attributes(20);
      for (auto n = random() % 3; n > 0; --n)
        span.events.push_back({random(), word(3), attributes(3)});
    }
    const auto back = decode_segment(encode_segment(
        table_of(spans), {}, round % 2 == 0 ? SegmentPacking::quick : SegmentPacking::small));
    ASSERT_TRUE(back);
    ASSERT_EQ(back->spans.rows.size(), spans.size());
    const auto again = table_of(spans);
    for (std::size_t i = 0; i < spans.size(); ++i) {
      std::string a;
      std::string b;
      ByteWriter wa(a);
      ByteWriter wb(b);
      write_span(wa, spans[i]);
      write_span(wb, back->spans.span(i));
      ASSERT_EQ(a, b) << "round " << round << ", span " << i;
      EXPECT_EQ(back->spans.span(i).stands_for, spans[i].stands_for);
    }
  }
}

class SegmentForms : public ::testing::TestWithParam<bool> {};

TEST_P(SegmentForms, ComeBackWhole) {
  const auto segment = sample_segment();
  const auto bytes =
      GetParam() ? encode_segment(table_of(segment.spans), segment.logs, SegmentPacking::quick)
                 : encode_rows(segment);
  const auto decoded = decode_segment(bytes);
  ASSERT_TRUE(decoded);
  ASSERT_EQ(decoded->spans.rows.size(), 2u);
  SegmentParts parts{{decoded->spans.span(0), decoded->spans.span(1)}, decoded->logs};
  const auto* back = &parts;
  const auto& span = back->spans[0];
  EXPECT_EQ(span.attributes, segment.spans[0].attributes);
  EXPECT_EQ(span.resource->labels, segment.spans[0].resource->labels);
  EXPECT_EQ(span.resource->track, "canary");
  EXPECT_EQ(span.events[0].time_ns, testing::ns(1200));
  EXPECT_EQ(span.events[0].attributes, segment.spans[0].events[0].attributes);
  EXPECT_EQ(span.status_message, "no");
  EXPECT_EQ(span.flags, 257u);
  EXPECT_EQ(back->spans[1].end_ns, testing::ns(2000)) << "ends before it starts, as it was sent";
  EXPECT_EQ(back->logs[0].body, "broken");
  EXPECT_EQ(back->logs[0].attributes, segment.logs[0].attributes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 2);
    EXPECT_FALSE(decode_segment(flipped));
  }
}

INSTANTIATE_TEST_SUITE_P(Both, SegmentForms, ::testing::Bool(),
                         [](const auto& of) { return of.param ? "columns" : "rows"; });

TEST(SpanSegment, SummaryTellsWhatIsInside) {
  const auto segment = sample_segment();
  const auto summary = summarise(table_of(segment.spans), segment.logs, {});
  EXPECT_EQ(summary.min_start_ms, 1000);
  EXPECT_EQ(summary.max_start_ms, 3000);
  ASSERT_EQ(summary.cohorts.size(), 2u);
  EXPECT_EQ(summary.cohorts[0], (SegmentCohort{"shop", "canary", "2", true}));
  EXPECT_EQ(summary.cohorts[1], (SegmentCohort{"shop", "stable", "1", false}));
  EXPECT_EQ(summary.traces.size(), 3u) << "the log's trace counts too";
  EXPECT_TRUE(std::ranges::is_sorted(summary.traces));
  const auto back = decode_summary(encode_summary(summary));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->traces, summary.traces);
  EXPECT_EQ(back->cohorts, summary.cohorts);
}

} // namespace
} // namespace coalmine::store
