// Enumerations as words and back. Private to the codecs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/json/object.hpp>
#include <string_view>

#include "rollout/machine.h"

namespace coalmine::rollout {

// The value whose word is text, else the first.
template <typename Enum, std::size_t N, typename ToWord>
Enum from_word(std::string_view text, const std::array<Enum, N>& all, ToWord to_word) {
  for (const Enum value : all) {
    if (to_word(value) == text) return value;
  }
  return all[0];
}

inline constexpr std::array kPhases = {Phase::progressing, Phase::paused,      Phase::rolling_back,
                                       Phase::promoted,    Phase::rolled_back, Phase::aborted,
                                       Phase::abandoned};
inline constexpr std::array kPauseCauses = {PauseCause::none,
                                            PauseCause::by_hand,
                                            PauseCause::approval,
                                            PauseCause::undecided,
                                            PauseCause::no_data,
                                            PauseCause::manual_override,
                                            PauseCause::regression,
                                            PauseCause::router_refused,
                                            PauseCause::canary_silent,
                                            PauseCause::old_intent,
                                            PauseCause::unwatched,
                                            PauseCause::same_version,
                                            PauseCause::processes_differ};
inline constexpr std::array kRouterOps = {RouterOp::set, RouterOp::panic, RouterOp::read};
inline constexpr std::array kCommands = {Command::pause,        Command::resume, Command::promote,
                                         Command::promote_full, Command::abort,  Command::abandon,
                                         Command::undo};
inline constexpr std::array kDecisions = {judge::Decision::keep_watching, judge::Decision::promote,
                                          judge::Decision::rollback, judge::Decision::inconclusive};
inline constexpr std::array kVerdicts = {judge::Verdict::watching, judge::Verdict::pass,
                                         judge::Verdict::regression, judge::Verdict::no_data};
inline constexpr std::array kCauses = {
    judge::Cause::none,           judge::Cause::no_canary_data,
    judge::Cause::no_stable_data, judge::Cause::too_few_requests,
    judge::Cause::undecided,      judge::Cause::source_unreachable,
    judge::Cause::interval_open,  judge::Cause::not_measurable,
    judge::Cause::warming_up,     judge::Cause::limit_unclear,
    judge::Cause::split_broken,   judge::Cause::processes_differ};
inline constexpr std::array kErrorCodes = {
    ErrorCode::internal,        ErrorCode::invalid_argument,    ErrorCode::not_found,
    ErrorCode::already_exists,  ErrorCode::failed_precondition, ErrorCode::resource_exhausted,
    ErrorCode::unavailable,     ErrorCode::deadline_exceeded,   ErrorCode::permission_denied,
    ErrorCode::unauthenticated, ErrorCode::unimplemented,       ErrorCode::data_loss};

// As margin_unit, margin_amount and margin_worse (codec_judgement.cc).
void put_margin(boost::json::object& o, const judge::Margin& margin);
judge::Margin margin_from(const boost::json::object& o);

constexpr std::string_view word(Command command) {
  switch (command) {
    case Command::pause: return "pause";
    case Command::resume: return "resume";
    case Command::promote: return "promote";
    case Command::promote_full: return "promote_full";
    case Command::abort: return "abort";
    case Command::abandon: return "abandon";
    case Command::undo: return "undo";
  }
  return "pause";
}

} // namespace coalmine::rollout
