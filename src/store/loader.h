// The start of a store: what an earlier process left is read, and the tail of the log replayed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/disk/damage_log.h"
#include "store/ingest/contents.h"

namespace coalmine::store {

// Used once, before anybody else sees the contents: it takes no locks.
class Loader {
 public:
  // directory: for messages.
  Loader(std::string directory, Backing backing, Contents& contents)
      : directory_(std::move(directory)), backing_(backing), contents_(contents) {}

  // Damaged pieces are reported and left out. failed_precondition: a newer coalmine wrote the
  // directory. Other errors: the disk.
  Status load();

 private:
  Status check_schema();
  Status move_slices(WriteSet& set) const;
  Status load_meta();
  Status load_series();
  Status load_chunks();
  Status load_slices();
  Status load_segments();
  Status replay_log();
  void replay_record(std::uint64_t number, std::string_view bytes);

  const std::string directory_;
  const Backing backing_;
  Contents& contents_;
};

} // namespace coalmine::store
