// Simulated releases, pod by pod: what happens to single pods makes their requests depend on each
// other, as in real services. Everything is drawn by pod and time, whatever the edges of cells.
// Deterministic: the same seed gives the same cells. Pure; one object, one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lab/latency_shares.h"
#include "lab/simulation.h"

namespace coalmine::lab {

// Traffic that both tracks share, and what happens to their pods. What is not set does not happen.
struct PodModel {
  double rps = 200; // both tracks together; a track's pods have equal parts of its requests
  double error_rate = 0.01;
  double median_ms = 80; // of a lognormal latency
  double sigma = 0.6;
  BucketBounds bounds_ms{}; // null: OpenTelemetry's default boundaries
  double cell_seconds = 15;
  double baseline_minutes = 30; // of stable, before the canary
  int canary_pods = 1;
  int stable_pods = 19; // each track at most kMostDetailedInstances
  int routes = 0;       // of equal traffic; 0: none
  // Each user sends this many requests at once, to one pod and one route.
  double requests_a_user = 1;

  // What comes and goes on every pod.
  struct Pauses {
    double seconds = 0;
    double every_seconds = 60; // on average
  } pauses{};
  struct ErrorDrift {
    double cv = 0;      // the pod's error rate is drawn again (Gamma), with this spread
    double minutes = 5; // at the pod's own moments, each so long after the one before
  } error_drift{};
  struct SlowMinutes {
    double every_minutes = 0; // on average
    double factor = 2;
  } slow_minutes{};
  struct Bursts {
    double errors = 0; // at once, beside the error rate
    double every_minutes = 60;
  } bursts{};
  // New pods warm up: cells say so, and leave their durations out. Only the first of a track in a
  // step prolong it, as on the common grid.
  struct WarmUp {
    double seconds = 0;
    double errors_added = 0;
  } warm_up{};
  double canary_restarts_seconds = 0; // each canary pod is another process again and again

  // What stays.
  struct Lasting {
    double error_cv = 0;              // between pods, Gamma
    double latency_cv = 0;            // between pods, lognormal
    double canary_latency_factor = 1; // the canary's pods alone: their node is slower
  } lasting{};
  // Each user stays on one pod, and on the canary once it had it. The first is as frequent as the
  // second and the third together (Zipf).
  struct StickyUsers {
    int users = 0;
    double error_cv = 1; // between users, Gamma
  } sticky_users{};
  // Bots beside the traffic: each stays on one pod and asks for the first route.
  struct Bots {
    int bots = 0;
    double rps = 1; // of each
    double error_rate = 0.5;
  } bots{};

  // A ratio metric of the user's own, named "own": bad ones come in clumps.
  struct OwnRatio {
    double rate = 0;
    double clump = 3;
    double of_requests = 0.1;
  } own_ratio{};
};

class SimulatedPods final : public Traffic {
 public:
  SimulatedPods(PodModel model, CanaryChange change, std::uint64_t seed);
  ~SimulatedPods() override;
  CountCell next(double canary_weight) override;
  std::vector<CountCell> baseline() override;
  double minute() const override;

 private:
  struct Pod;
  struct Process;
  struct Draft;
  struct Segment;
  struct User {
    double share = 0; // of all requests
    double error_factor = 1;
    double track_place = 0; // on the canary where this is below its weight
    double pod_place = 0;   // which pod of the track, from 0 to 1
  };

  void add_pods(Track track, int count);
  void add_users();
  Pod& pod_of(const User& user, double canary_weight);
  void split(double canary_weight);
  void begin_process(Pod& pod, double at_s);
  void open(const Pod& pod, Draft& draft) const;
  void serve(Pod& pod, Draft& draft, double from_s, double to_s);
  double next_event(const Pod& pod, double at_s) const;
  void pass_events(Pod& pod, Draft& draft, double at_s);
  Segment segment(const Pod& pod, double at_s) const;
  void take(Pod& pod, Draft& draft, const Segment& segment, double seconds, double pause_ms);
  const BucketSampler& latency(const Segment& segment, bool changed, double pause_ms);
  CountCell finish(Draft& draft);
  MetricNumbers own_ratio();

  PodModel model_;
  CanaryChange change_;
  SimulationRandom random_;
  std::vector<Pod> pods_; // stable's first
  std::vector<User> users_;
  std::vector<User> bots_;
  std::map<LatencyShape, BucketSampler> samplers_;
  double now_s_ = 0;
  double weight_ = 0;
  std::optional<double> canary_from_s_;
  std::optional<double> warm_until_s_; // of the canary's processes that began in this step
};

} // namespace coalmine::lab
