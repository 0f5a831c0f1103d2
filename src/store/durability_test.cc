// The store against a plain map, against kill -9, against damage and against a disk that refuses.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <random>

#include "store/disk/meta_rows.h"
#include "store/testing.h"

namespace coalmine::store::testing {
namespace {

namespace fs = std::filesystem;

using Model = std::map<std::string, std::map<std::int64_t, double>>; // series label to samples

void expect_model(const Store& store, const Model& model, std::int64_t from_ms) {
  const auto found = select(store, "g", {}, true, from_ms);
  Model actual;
  for (const auto& data : found) {
    for (const auto& s : data.floats)
      actual[std::string(data.labels->get("k"))][s.time_ms] = s.value;
  }
  Model expected;
  for (const auto& [key, samples] : model) {
    for (const auto& [time, value] : samples) {
      if (time >= from_ms) expected[key][time] = value;
    }
  }
  ASSERT_EQ(actual, expected);
}

TEST(Durability, AgreesWithAMapUnderRandomOperations) {
  for (const unsigned seed : {1u, 2u}) {
    Fixture f;
    f.options.retention_ms = 1LL << 50;
    f.open();
    std::mt19937 random(seed);
    const auto app = resource("shop");
    std::vector<std::shared_ptr<const MetricSeries>> all;
    for (int i = 0; i < 12; ++i)
      all.push_back(series(app, "g", "g", MetricKind::gauge, {{"k", std::to_string(i)}}));
    Model model;
    for (int step = 0; step < 250; ++step) {
      f.clock.advance_ms(static_cast<std::int64_t>(random() % 120'000));
      const auto now = f.clock.wall_ms();
      Batch b = batch({}, now);
      for (std::size_t n = random() % 30; n > 0; --n) {
        const std::size_t k = random() % all.size();
        const std::int64_t age = random() % 5 == 0 ? static_cast<std::int64_t>(random() % 3'600'000)
                                                   : static_cast<std::int64_t>(random() % 3) * 1000;
        const double value = random() % 10 == 0 ? 0.1 * static_cast<double>(random() % 100)
                                                : static_cast<double>(random() % 1000);
        b.points.push_back(point(all[k], 0, now - age, value));
      }
      const auto told = f.append(b).rejected_points;
      // The store takes a batch in time order. The last of several points of one series and
      // millisecond stays either way, and the sender is told when it is another value.
      std::size_t clashes = 0;
      for (const auto& p : b.points) {
        const double value = std::get<double>(p.value);
        const auto [it, added] = model[std::string(p.series->labels.get("k"))].try_emplace(
            static_cast<std::int64_t>(p.time_ns / 1'000'000), value);
        if (!added && it->second != value) ++clashes;
        it->second = value;
      }
      EXPECT_LE(told, clashes);
      if (random() % 12 == 0) {
        ASSERT_TRUE(f.store->maintain());
      }
      if (random() % 15 == 0) {
        ASSERT_TRUE(f.store->snapshot());
      }
      if (random() % 25 == 0) f.reopen();
      if (random() % 10 == 0)
        expect_model(*f.store, model,
                     random() % 2 == 0 ? 0 : now - static_cast<std::int64_t>(random() % 7'200'000));
    }
    expect_model(*f.store, model, 0);
    EXPECT_EQ(f.damaged(), 0);
  }
}

// Appends until it is killed; every acknowledged number is reported through the pipe.
[[noreturn]] void append_until_killed(const Options& options, int pipe_fd, std::int64_t first) {
  const ManualClock clock(kNow);
  SelfMetrics metrics;
  auto store = Store::open(options, clock, metrics);
  if (!store) ::_exit(1);
  const auto app = resource("shop");
  const auto counter = series(app, "n", "n_total", MetricKind::counter);
  for (std::int64_t i = first;; ++i) {
    Batch b = batch({point(counter, kNow - 5000, kNow - 3'000'000 + i, static_cast<double>(i))});
    Span s = span(app, 1, 1, kNow - 100, kNow, SpanKind::server);
    std::memcpy(s.trace_id.data(), &i, sizeof i);
    b.spans = table_of({s});
    if (!(*store)->append(b)) ::_exit(1);
    if (i % 100 == 99) (void)(*store)->maintain();
    if (::write(pipe_fd, &i, sizeof i) != static_cast<ssize_t>(sizeof i)) ::_exit(1);
  }
}

TEST(Durability, EverythingAcknowledgedSurvivesKill9) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer does not follow the fork of a process with threads";
#endif
  Fixture f;
  std::int64_t acknowledged = -1;
  std::mt19937 random(5);
  for (int round = 0; round < 5; ++round) {
    int fds[2];
    ASSERT_EQ(::pipe(fds), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(fds[0]);
      append_until_killed(f.options, fds[1], acknowledged + 1);
    }
    ::close(fds[1]);
    const std::int64_t goal = acknowledged + 20 + static_cast<std::int64_t>(random() % 200);
    std::int64_t number = 0;
    bool killed = false;
    while (::read(fds[0], &number, sizeof number) == static_cast<ssize_t>(sizeof number)) {
      acknowledged = number;
      if (acknowledged >= goal && !killed) {
        ::kill(child, SIGKILL);
        killed = true;
      }
    }
    ::close(fds[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(killed && WIFSIGNALED(status)) << "the child ended by itself";

    f.open();
    const auto found = select(*f.store, "n_total");
    ASSERT_EQ(found.size(), 1u);
    ASSERT_GE(found[0].floats.size(), static_cast<std::size_t>(acknowledged + 1));
    for (std::size_t i = 0; i < found[0].floats.size(); ++i)
      ASSERT_EQ(found[0].floats[i].value, static_cast<double>(i));
    const auto requests = select(*f.store, kRequestsName);
    ASSERT_EQ(requests.size(), 1u);
    // One more may have been stored than was acknowledged.
    EXPECT_GE(requests[0].floats.back().value, static_cast<double>(acknowledged + 1));
    TraceId id;
    id.fill(1);
    std::memcpy(id.data(), &acknowledged, sizeof acknowledged);
    EXPECT_EQ(f.store->trace(id)->size(), 1u);
    acknowledged = static_cast<std::int64_t>(found[0].floats.size()) - 1;
    f.store.reset();
    EXPECT_EQ(f.damaged(), 0);
  }
}

TEST(Durability, DamagedRowsAreCountedAndSkipped) {
  Fixture f;
  f.open();
  const auto app = resource("shop");
  const auto gauge = series(app, "g", "g", MetricKind::gauge);
  for (int i = 0; i < 10; ++i) f.append(batch({point(gauge, 0, kNow + i, i)}));
  f.store.reset();
  {
    auto database = open_rocks({f.options.directory});
    ASSERT_TRUE(database);
    auto row = *(*database)->get(Family::log, number_key(4));
    ASSERT_TRUE(row);
    (*row)[row->size() / 2] = static_cast<char>((*row)[row->size() / 2] ^ 1);
    WriteSet set;
    set.put(Family::log, number_key(4), *row);
    set.erase(Family::log, number_key(7));
    set.put(Family::series, number_key(77), "nonsense");
    set.put(Family::spans, "s", "nonsense");
    set.put(Family::chunks, chunk_list_key(0, 1), "nonsense");
    set.put(Family::meta, std::string(kPresencePrefix) + "x", "nonsense");
    ASSERT_TRUE((*database)->write(set));
  }
  f.open();
  const auto found = select(*f.store, "g");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].floats.size(), 8u);
  EXPECT_EQ(f.damaged(), 6);
  f.append(batch({point(gauge, 0, kNow + 100, 1)}));
}

TEST(Durability, FlippedBytesInTheLogFileCostWhatTheyHit) {
  std::mt19937 random(11);
  for (int round = 0; round < 6; ++round) {
    Fixture f;
    f.open();
    const auto app = resource("shop");
    const auto gauge = series(app, "g", "g", MetricKind::gauge);
    for (int i = 0; i < 200; ++i) f.append(batch({point(gauge, 0, kNow + i, i)}));
    f.store.reset();
    fs::path log;
    for (const auto& entry : fs::directory_iterator(f.options.directory)) {
      if (entry.path().extension() == ".log" && entry.file_size() > 0) log = entry.path();
    }
    ASSERT_FALSE(log.empty());
    const auto size = static_cast<std::int64_t>(fs::file_size(log));
    {
      std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
      const auto at =
          size / 2 + static_cast<std::int64_t>(random() % static_cast<unsigned>(size / 3));
      file.seekg(at);
      const char before = static_cast<char>(file.get());
      file.seekp(at);
      file.put(static_cast<char>(before ^ 0x55));
    }
    f.open();
    const auto found = select(*f.store, "g");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_GE(found[0].floats.size(), 90u);
    for (const auto& s : found[0].floats)
      EXPECT_EQ(s.value, static_cast<double>(s.time_ms - kNow)) << "never a wrong number";
    if (found[0].floats.size() < 200 && found[0].floats.back().value == 199) {
      EXPECT_GE(f.damaged(), 1) << "holes are reported";
    }
    f.append(batch({point(gauge, 0, kNow + 1000, 1000)}));
  }
}

// Wraps the real database and refuses writes while the test asks for it.
class FailingDatabase final : public Database {
 public:
  explicit FailingDatabase(std::unique_ptr<Database> inner) : inner_(std::move(inner)) {}
  Status write(const WriteSet& set) override {
    if (failing) return fail(ErrorCode::unavailable, "the disk is full");
    return inner_->write(set);
  }
  Result<std::optional<std::string>> get(Family family, std::string_view key) const override {
    return inner_->get(family, key);
  }
  std::vector<std::optional<std::string>> get_many(
      Family family, const std::vector<std::string>& keys) const override {
    return inner_->get_many(family, keys);
  }
  Status scan(Family family, std::string_view from, std::string_view to,
              const Visit& visit) const override {
    return inner_->scan(family, from, to, visit);
  }
  Status sync() override { return inner_->sync(); }
  Status flush() override { return inner_->flush(); }
  Status reclaim(Family family, std::string_view from, std::string_view to) override {
    return inner_->reclaim(family, from, to);
  }
  Status compact(Family family) override { return inner_->compact(family); }
  Status copy_to(const std::string& directory) override { return inner_->copy_to(directory); }
  std::uint64_t disk_bytes() const override { return inner_->disk_bytes(); }
  std::uint64_t damaged() const override { return inner_->damaged(); }

  bool failing = false;

 private:
  std::unique_ptr<Database> inner_;
};

TEST(Durability, ARefusedWriteLeavesNoTraceAndCanBeSentAgain) {
  Fixture f;
  auto real = open_rocks({f.options.directory});
  ASSERT_TRUE(real);
  auto owned = std::make_unique<FailingDatabase>(std::move(*real));
  auto* database = owned.get();
  auto opened = open_store(f.options, f.clock, f.metrics, std::move(owned));
  ASSERT_TRUE(opened);
  f.store = std::move(*opened);

  const auto app = resource("shop");
  const auto delta = series(app, "d", "d_total", MetricKind::counter, {}, "", Temporality::delta);
  const auto histogram =
      series(app, "http.server.request.duration", "http_server_request_duration_seconds",
             MetricKind::histogram, {{"http.response.status_code", std::int64_t{200}}}, "s");
  const auto at = [&](std::int64_t time, double value) {
    Batch b = batch({point(delta, kNow + time - 1000, kNow + time, value),
                     point(histogram, kNow - 1000, kNow + time,
                           classic(bounds({0.1}), {static_cast<std::uint64_t>(value), 0}))});
    b.spans =
        table_of({span(app, static_cast<std::uint8_t>(value), 1, kNow + time - 10, kNow + time)});
    return b;
  };
  database->failing = true;
  const auto refused = f.store->append(at(0, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(select(*f.store, "d_total").empty());
  EXPECT_TRUE(f.store->presence().empty());
  database->failing = false;
  f.append(at(0, 1));
  database->failing = true;
  EXPECT_FALSE(f.store->append(at(1000, 2)));
  EXPECT_FALSE(f.store->append(at(1000, 2)));
  f.clock.advance_ms(3'600'000);
  EXPECT_FALSE(f.store->maintain());
  database->failing = false;
  ASSERT_TRUE(f.store->maintain());
  f.append(at(1000, 2));
  for (int round = 0; round < 2; ++round) {
    const auto totals = select(*f.store, "d_total");
    ASSERT_EQ(totals.size(), 1u);
    EXPECT_EQ(values(totals[0]), (std::vector<std::pair<std::int64_t, double>>{{0, 1}, {1000, 3}}));
    const auto requests = select(*f.store, kRequestsName);
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_EQ(requests[0].source, Source::histogram);
    EXPECT_EQ(requests[0].floats.back().value, 2);
    const auto from_spans = select(*f.store, kRequestsName, {}, false);
    ASSERT_EQ(from_spans.size(), 2u);
    EXPECT_EQ(from_spans[1].floats.back().value, 2);
    f.reopen();
  }
}

} // namespace
} // namespace coalmine::store::testing
