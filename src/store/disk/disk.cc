// SPDX-License-Identifier: Apache-2.0
#include "store/disk/disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace coalmine::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSyncedName = "synced";

std::string path_of(const std::string& directory, std::string_view name) {
  return (fs::path(directory) / name).string();
}

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

std::unexpected<Error> not_synced(const std::string& path) {
  return fail(ErrorCode::unavailable,
              fmt::format("{} cannot be synced: {}. Check the disk", path, std::strerror(errno)));
}

// The manifest's name as the file CURRENT has it; "" when there is none.
std::string manifest_name(const std::string& directory) {
  std::ifstream current(path_of(directory, "CURRENT"));
  std::string name;
  std::getline(current, name);
  return name.starts_with("MANIFEST-") ? name : "";
}

std::string hash_line(std::string_view text) {
  return fmt::format("{:016x}\n", XXH3_64bits(text.data(), text.size()));
}

std::map<std::string, std::uint64_t> read_synced(const std::string& directory) {
  std::ifstream in(path_of(directory, kSyncedName), std::ios::binary);
  std::stringstream all;
  all << in.rdbuf();
  const std::string text = all.str();
  std::map<std::string, std::uint64_t> out;
  constexpr std::size_t kHashLine = 17;
  if (text.size() < kHashLine) return out;
  const auto body = std::string_view(text).substr(0, text.size() - kHashLine);
  if (hash_line(body) != std::string_view(text).substr(body.size()))
    return out; // torn by a crash: no claim can be read
  std::istringstream lines{std::string(body)};
  std::string name;
  for (std::uint64_t size = 0; lines >> name >> size;) out[name] = size;
  return out;
}

// Where the last whole record of a log or manifest ends. RocksDB's format of both: blocks of 32
// KiB; a record is crc:u32 length:u16 type:u8 and its bytes, never across blocks; fewer than 7
// octets at a block's end are filling. RocksDB itself takes a broken length near the end for the
// trace of a crash and drops everything behind it.
std::uint64_t records_end(const std::string& path) {
  constexpr std::uint64_t kBlock = 32768;
  constexpr std::size_t kHeader = 7;
  constexpr unsigned kLastType = 4; // full, first, middle, last
  const Descriptor file(path, O_RDONLY);
  struct stat info{};
  if (file.get() < 0 || ::fstat(file.get(), &info) != 0) return 0;
  const auto size = static_cast<std::uint64_t>(info.st_size);
  std::uint64_t at = 0;
  while (at < size) {
    const std::uint64_t left = kBlock - at % kBlock;
    if (left < kHeader) {
      at += left;
      continue;
    }
    std::array<unsigned char, kHeader> header{};
    if (::pread(file.get(), header.data(), kHeader, static_cast<off_t>(at)) !=
        static_cast<ssize_t>(kHeader))
      break;
    const std::uint64_t length = header[4] | static_cast<unsigned>(header[5]) << 8;
    const unsigned type = header[6];
    if (type == 0 || type > kLastType || kHeader + length > left || at + kHeader + length > size)
      break;
    at += kHeader + length;
  }
  return std::min(at, size);
}

} // namespace

std::uint64_t free_bytes(const std::string& directory) { return FreeSpace(directory).bytes(); }

FreeSpace::FreeSpace(const std::string& directory)
    : descriptor_(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

FreeSpace::~FreeSpace() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::uint64_t FreeSpace::bytes() const {
  struct statvfs info{};
  if (::fstatvfs(descriptor_, &info) != 0) return 0;
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

std::uint64_t directory_bytes(const std::string& directory) {
  std::uint64_t total = 0;
  std::error_code error;
  for (auto it = fs::directory_iterator(directory, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    std::error_code gone; // files may be removed meanwhile
    if (!it->is_regular_file(gone)) continue;
    const auto size = it->file_size(gone);
    if (!gone) total += size;
  }
  return total;
}

std::vector<std::string> files_ending(const std::string& directory, std::string_view ending) {
  std::vector<std::string> out;
  std::error_code error;
  for (auto it = fs::directory_iterator(directory, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    auto name = it->path().filename().string();
    if (name.ends_with(ending)) out.push_back(std::move(name));
  }
  std::ranges::sort(out);
  return out;
}

Result<std::map<std::string, std::uint64_t>> sync_logs(const std::string& directory) {
  std::map<std::string, std::uint64_t> out;
  for (const auto& name : files_ending(directory, ".log")) {
    const auto path = path_of(directory, name);
    const Descriptor file(path, O_RDONLY);
    if (file.get() < 0 && errno == ENOENT) continue; // its content is in synced data files by now
    struct stat info{};
    if (file.get() < 0 || ::fstat(file.get(), &info) != 0 || ::fdatasync(file.get()) != 0)
      return not_synced(path);
    out[name] = static_cast<std::uint64_t>(info.st_size);
  }
  const Descriptor own(directory, O_RDONLY | O_DIRECTORY);
  if (own.get() < 0 || ::fsync(own.get()) != 0) return not_synced(directory);
  return out;
}

void write_synced(const std::string& directory, std::map<std::string, std::uint64_t> sizes) {
  // RocksDB syncs each record of the manifest; the end of its last whole record is safe to claim.
  if (const auto name = manifest_name(directory); !name.empty())
    sizes[name] = records_end(path_of(directory, name));
  std::string text;
  for (const auto& [name, size] : sizes) text += fmt::format("{} {}\n", name, size);
  text += hash_line(text);
  const auto path = path_of(directory, kSyncedName);
  const auto fresh = path + ".new";
  std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  // When the disk is full, the older and smaller claim stays.
  std::error_code ignored;
  if (out.good()) fs::rename(fresh, path, ignored);
}

Status copy_files(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::create_directories(to, error);
  for (const auto& name : files_ending(from, "")) {
    if (!error) fs::copy_file(path_of(from, name), path_of(to, name), error);
    if (error)
      return fail(ErrorCode::unavailable,
                  fmt::format("{} cannot be written: {}", path_of(to, name), error.message()));
    const Descriptor file(path_of(to, name), O_RDONLY);
    if (file.get() < 0 || ::fsync(file.get()) != 0) return not_synced(path_of(to, name));
  }
  const Descriptor own(to, O_RDONLY | O_DIRECTORY);
  if (own.get() < 0 || ::fsync(own.get()) != 0) return not_synced(to);
  return {};
}

Shortage find_shortage(const std::string& directory) {
  Shortage out;
  const auto synced = read_synced(directory);
  const auto name = manifest_name(directory);
  const auto logs = files_ending(directory, ".log");
  const std::string* newest_log = nullptr;
  for (const auto& [file, size] : synced) {
    if (file == name) {
      out.manifest = records_end(path_of(directory, name)) < size;
    } else if (file.ends_with(".log")) {
      newest_log = &file;
      if (std::ranges::binary_search(logs, file) && records_end(path_of(directory, file)) < size)
        out.logs.push_back(file);
    }
  }
  // RocksDB removes a log file only after it has begun a newer one.
  if (newest_log != nullptr && (logs.empty() || logs.back() < *newest_log))
    out.logs.push_back(*newest_log);
  return out;
}

} // namespace coalmine::store
