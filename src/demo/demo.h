// `coalmine demo`: real processes on loopback — this server, HAProxy, a shop in two versions, load
// — and releases that go back or through on their own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace coalmine::demo {

struct DemoOptions {
  // Unattended: no waiting at the end. The exit code is 0 only if every scene ended as expected.
  bool ci = false;
  std::string scenario; // one of bad-release, slow-tail, good-release; "" all
  bool keep = false;    // leave the working directory behind
  double rps = 300;
  int repeat = 1; // how often all scenes run
  // Folder with the demo's services. "" finds demo/ beside the binary or above it.
  std::string assets_dir;
  bool no_color = false;
};

// Blocks until the demo ended or was interrupted; stops everything it started. Returns the exit
// code.
int run_demo(const DemoOptions& options);

} // namespace coalmine::demo
