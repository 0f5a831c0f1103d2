// A full disk, and files that are cut, flipped or gone.
// SPDX-License-Identifier: Apache-2.0
#include "store/disk/disk.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <random>

#include "store/testing.h"

namespace coalmine::store::testing {
namespace {

namespace fs = std::filesystem;

// A file system of its own of a few megabytes. Only root can make one.
class SmallDisk {
 public:
  explicit SmallDisk(std::size_t megabytes) {
    fs::create_directories(dir_.path());
    const std::string size = "size=" + std::to_string(megabytes) + "m";
    mounted_ = ::mount("tmpfs", dir_.path().c_str(), "tmpfs", 0, size.c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(dir_.path().c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  std::string path() const { return dir_.path(); }
  // Writes a foreign file that leaves `left` bytes free.
  void fill_up_to(std::uint64_t left) const {
    const std::string block(4096, 'x');
    std::ofstream file(path() + "/ballast", std::ios::binary | std::ios::app);
    while (free_bytes(path()) > left &&
           file.write(block.data(), static_cast<std::streamsize>(block.size())).flush().good()) {
    }
  }
  void make_room() const { fs::remove(path() + "/ballast"); }

 private:
  TempDir dir_;
  bool mounted_ = false;
};

struct Sender {
  std::shared_ptr<const Resource> app = resource("shop");
  std::shared_ptr<const MetricSeries> gauge = series(app, "g", "g", MetricKind::gauge);
  std::mt19937_64 random{7};
  std::int64_t now_ms = kNow;
  int next = 0;

  // A point and a span of about two kilobytes that do not compress. Returns the same message until
  // it is acknowledged.
  Batch message() {
    Batch b = batch({point(gauge, 0, now_ms + next, next)});
    std::string noise(2000, '\0');
    for (auto& c : noise) c = static_cast<char>('!' + random() % 90);
    Span s = span(app, 1, 1, now_ms + next, now_ms + next + 1, SpanKind::server, StatusCode::unset,
                  {{"noise", noise}});
    std::memcpy(s.trace_id.data(), &next, sizeof next);
    b.spans = table_of({std::move(s)});
    return b;
  }
  bool send(Store& store) {
    const auto result = store.append(message());
    if (result) ++next;
    if (!result) {
      EXPECT_EQ(result.error().code, ErrorCode::unavailable) << result.error().message;
    }
    return result.has_value();
  }
  void expect_all(const Store& store) const {
    const auto found = select(store, "g");
    ASSERT_EQ(found.size(), 1u);
    ASSERT_EQ(found[0].floats.size(), static_cast<std::size_t>(next));
    for (int i = 0; i < next; ++i) {
      EXPECT_EQ(found[0].floats[static_cast<std::size_t>(i)].value, i);
      if (i % 37 != 0 && i + 5 < next) continue;
      TraceId id;
      id.fill(1);
      std::memcpy(id.data(), &i, sizeof i);
      const auto trace = store.trace(id);
      ASSERT_TRUE(trace);
      ASSERT_EQ(trace->size(), 1u) << i;
    }
  }
};

TEST(FullDisk, IsRefusedBeforeRocksDbMeetsItAndRecoversByItself) {
  const SmallDisk disk(160);
  if (!disk.mounted()) GTEST_SKIP() << "a small file system can only be made as root";
  Fixture f;
  f.options.directory = disk.path() + "/telemetry";
  f.open();
  Sender sender;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(sender.send(*f.store));
    disk.fill_up_to(20 << 20);
    const auto refused = f.store->append(sender.message());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
    EXPECT_NE(refused.error().message.find("is full"), std::string::npos)
        << refused.error().message;
    sender.expect_all(*f.store);
    if (round == 1) f.reopen();
    f.clock.advance_ms(3'600'000);
    EXPECT_FALSE(f.store->maintain()) << "there is no room for chunks";
    disk.make_room();
    sender.now_ms = f.clock.wall_ms();
    ASSERT_TRUE(sender.send(*f.store));
    EXPECT_TRUE(f.store->maintain());
  }
  f.reopen();
  sender.expect_all(*f.store);
  EXPECT_EQ(f.damaged(), 0);
}

TEST(FullDisk, IsSurvivedWithoutAReserve) {
  const SmallDisk disk(100);
  if (!disk.mounted()) GTEST_SKIP() << "a small file system can only be made as root";
  Fixture f;
  f.options.directory = disk.path() + "/telemetry";
  f.options.disk_reserve_bytes = 0;
  auto database = open_rocks({.directory = f.options.directory,
                              .sync_interval_ms = 5,
                              .reserve_bytes = 0,
                              .recover_pause_ms = 0});
  ASSERT_TRUE(database);
  auto opened = open_store(f.options, f.clock, f.metrics, std::move(*database));
  ASSERT_TRUE(opened);
  f.store = std::move(*opened);
  Sender sender;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(sender.send(*f.store)) << i;
    disk.fill_up_to(0);
    int refused = 0;
    for (int i = 0; i < 40'000 && refused < 5; ++i) refused += sender.send(*f.store) ? 0 : 1;
    EXPECT_EQ(refused, 5) << "the disk did not become full";
    disk.make_room();
    ASSERT_TRUE(sender.send(*f.store));
    sender.expect_all(*f.store);
  }
  f.reopen();
  sender.expect_all(*f.store);
}

// A limit on the size of files fails writes in the middle of the log, as a full disk does, without
// being root.
TEST(FullDisk, WritesThatFailHalfwayAreSurvived) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer does not follow the fork of a process with threads";
#endif
  Fixture f;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const ManualClock clock(kNow);
    SelfMetrics metrics;
    auto database = open_rocks(
        {.directory = f.options.directory, .sync_interval_ms = 5, .recover_pause_ms = 0});
    if (!database) ::_exit(2);
    auto store = open_store(f.options, clock, metrics, std::move(*database));
    if (!store) ::_exit(3);
    Sender sender;
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 40; ++i) {
        if (!sender.send(**store)) ::_exit(4);
      }
      struct rlimit limit{64 << 10, RLIM_INFINITY};
      if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(5);
      int refused = 0;
      for (int i = 0; i < 500 && refused < 4; ++i) refused += sender.send(**store) ? 0 : 1;
      limit.rlim_cur = RLIM_INFINITY;
      if (refused == 0 || ::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(6);
      if (!sender.send(**store)) ::_exit(7);
      sender.expect_all(**store);
    }
    ::_exit(::testing::Test::HasFailure() ? 8 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  f.open();
  EXPECT_GE(select(*f.store, "g").at(0).floats.size(), 123u);
}

} // namespace
} // namespace coalmine::store::testing
