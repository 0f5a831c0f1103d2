// Store files that are cut, flipped or gone are reported and skipped. They never stop the store and
// never yield wrong answers.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "store/disk/disk.h"
#include "store/testing.h"

namespace coalmine::store::testing {
namespace {

namespace fs = std::filesystem;

constexpr int kMessages = 240;
constexpr int kSealed = 120;
constexpr int kTraceStep = 16;

TraceId trace_id(int number) {
  TraceId out;
  out.fill(1);
  std::memcpy(out.data(), &number, sizeof number);
  return out;
}

int number_of(const TraceId& id) {
  int out = 0;
  std::memcpy(&out, id.data(), sizeof out);
  return out;
}

std::string newest(const std::string& directory, std::string_view begin, std::string_view end) {
  std::string out;
  std::uintmax_t most = 0;
  for (const auto& name : files_ending(directory, end)) {
    if (!name.starts_with(begin)) continue;
    const auto size = fs::file_size(fs::path(directory) / name);
    if (size >= most) out = name;
    most = std::max(most, size);
  }
  return (fs::path(directory) / out).string();
}

void flip(const std::string& path, std::uint64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char before = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(before ^ 0x20));
}

// Half of the messages are in data files, half in the log. A message is one point and one span;
// both carry the message's number.
void fill(Fixture& f) {
  auto database = open_rocks({.directory = f.options.directory});
  ASSERT_TRUE(database);
  auto* raw = database->get();
  auto opened = open_store(f.options, f.clock, f.metrics, std::move(*database));
  ASSERT_TRUE(opened);
  f.store = std::move(*opened);
  const auto app = resource("shop");
  const auto gauge = series(app, "g", "g", MetricKind::gauge);
  std::mt19937_64 random(3);
  for (int i = 0; i < kMessages; ++i) {
    std::string noise(400, '\0');
    for (auto& c : noise) c = static_cast<char>('!' + random() % 90);
    Batch b = batch({point(gauge, 0, kNow + i, i)});
    Span s = span(app, 1, 1, kNow + i, kNow + i + 1, SpanKind::server, StatusCode::unset,
                  {{"number", std::int64_t{i}}, {"noise", noise}});
    s.trace_id = trace_id(i);
    b.spans = table_of({std::move(s)});
    f.append(b);
    if (i == kSealed) {
      ASSERT_TRUE(raw->flush());
    }
  }
  f.store.reset();
}

// The content is the same every time, so the directory is made once and copied.
class Filled {
 public:
  Filled() {
    fill(fixture_);
    fixture_.store.reset();
  }
  void copy_to(const std::string& directory) const {
    fs::copy(fixture_.dir.path(), directory, fs::copy_options::recursive);
  }

 private:
  Fixture fixture_;
};

void fill_copy(const Fixture& f) {
  static const Filled filled;
  filled.copy_to(f.options.directory);
}

struct Seen {
  std::size_t points = 0;
  std::size_t spans = 0;
};

// Checks that all stored items are right, and returns how many there are.
Seen look(Fixture& f) {
  Seen out;
  for (const auto& data : select(*f.store, "g")) {
    for (const auto& s : data.floats) {
      EXPECT_EQ(s.value, static_cast<double>(s.time_ms - kNow)) << "a wrong number";
      ++out.points;
    }
  }
  SpanFilter all;
  all.service = "shop";
  all.limit = kMessages;
  const auto found = f.store->find_spans(all);
  EXPECT_TRUE(found) << (found ? "" : found.error().message);
  if (!found) return out;
  std::vector<bool> there(kMessages);
  for (const auto& stored : *found) {
    const int number = number_of(stored.span.trace_id);
    EXPECT_EQ(attribute_text(stored.span.attributes, "number"), std::to_string(number))
        << "a wrong span";
    there.at(static_cast<std::size_t>(number)) = true;
    ++out.spans;
  }
  // Reading by trace id uses the same segments and is slow, so only every kTraceStep-th id is read.
  for (int i = 0; i < kMessages; i += kTraceStep) {
    const auto trace = f.store->trace(trace_id(i));
    EXPECT_EQ(trace && !trace->empty(), there[static_cast<std::size_t>(i)]) << "trace " << i;
  }
  return out;
}

struct DamageCase {
  const char* name;
  const char* begin; // how the file's name begins
  const char* end;
  std::size_t least; // the least number of points and spans left
  bool whole;        // nothing may be lost at all
};
const DamageCase kDamageCases[] = {
    {"log", "", ".log", kSealed, false},
    {"data", "", ".sst", kMessages - kSealed - 1, false},
    {"manifest", "MANIFEST", "", kMessages, true},
    {"current", "CURRENT", "", kMessages, true},
};

// COALMINE_DAMAGE_ROUNDS sets another number of rounds.
unsigned rounds(unsigned few) {
  const char* many = std::getenv("COALMINE_DAMAGE_ROUNDS"); // NOLINT(concurrency-mt-unsafe)
  return many == nullptr ? few : static_cast<unsigned>(std::strtoul(many, nullptr, 10));
}

class Damage : public ::testing::TestWithParam<DamageCase> {
 protected:
  // damage: damages the file of this path and size.
  void run(const std::function<void(const std::string&, std::uint64_t)>& damage, unsigned round) {
    Fixture f;
    fill_copy(f);
    const auto path = newest(f.options.directory, GetParam().begin, GetParam().end);
    ASSERT_TRUE(fs::exists(path));
    damage(path, fs::file_size(path));
    ASSERT_NO_FATAL_FAILURE(f.open()) << "never fatal";
    const Seen seen = look(f);
    const auto& c = GetParam();
    const bool lost = seen.points < kMessages || seen.spans < kMessages;
    EXPECT_FALSE(lost && c.whole) << seen.points << " points and " << seen.spans
                                  << " spans are left; round " << round;
    if (lost) {
      EXPECT_GT(f.damaged(), 0) << "never silent; round " << round;
    }
    // The store still works, and new telemetry is kept.
    const auto app = resource("shop");
    f.append(batch({point(series(app, "after", "after", MetricKind::gauge), 0, kNow + 5000, 1)}));
    f.clock.advance_ms(3'600'000);
    EXPECT_TRUE(f.store->maintain());
    f.reopen();
    EXPECT_EQ(select(*f.store, "after").size(), 1u) << "round " << round;
    const Seen again = look(f);
    EXPECT_EQ(again.points, seen.points);
    EXPECT_EQ(again.spans, seen.spans);
  }
};

TEST_P(Damage, ABitFlipped) {
  std::mt19937_64 random(17);
  for (unsigned round = 0; round < rounds(3); ++round) {
    run([&](const std::string& path, std::uint64_t size) { flip(path, random() % size); }, round);
  }
}

TEST_P(Damage, Cut) {
  std::mt19937_64 random(19);
  for (unsigned round = 0; round < rounds(2); ++round) {
    run([&](const std::string& path,
            std::uint64_t size) { fs::resize_file(path, round == 0 ? 0 : random() % size); },
        round);
  }
}

TEST_P(Damage, Gone) {
  run([](const std::string& path, std::uint64_t) { fs::remove(path); }, 0);
}

INSTANTIATE_TEST_SUITE_P(Files, Damage, ::testing::ValuesIn(kDamageCases),
                         [](const auto& of) { return std::string(of.param.name); });

// One flipped block loses its own content and not the rest of its file.
TEST(Damage, ADataFileIsReadAroundItsDamage) {
  Fixture f;
  fill_copy(f);
  std::string largest = newest(f.options.directory, "", ".sst");
  for (const auto& name : files_ending(f.options.directory, ".sst")) {
    const auto path = (fs::path(f.options.directory) / name).string();
    if (fs::file_size(path) > fs::file_size(largest)) largest = path;
  }
  flip(largest, fs::file_size(largest) / 3);
  f.open();
  const Seen seen = look(f);
  EXPECT_GE(f.damaged(), 1);
  EXPECT_GE(seen.spans, kMessages / 4u);
  EXPECT_LT(seen.spans, static_cast<unsigned>(kMessages));
}

} // namespace
} // namespace coalmine::store::testing
