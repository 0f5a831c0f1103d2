// What is not compared yet is not missing: lines that wait for the next export. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "judge/judge.h"

namespace coalmine::judge {

// The line waits for the next export of both tracks. Its reason is left as it is.
void set_interval_open(SignalVerdict& v, const Evidence& evidence);

// For lines over the window's counts: one that lacks a track whose export is due waits for it
// (Evidence::export_due), and its reason says so.
void await_exports(std::span<SignalVerdict> lines, const Evidence& evidence);

} // namespace coalmine::judge
