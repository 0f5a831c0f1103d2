#!/usr/bin/env python3
"""Writes seed_decisions.csv: what the seed's analyzer (its arithmetic, line for line) decides on random and edge inputs.

Usage: python3 seed_decisions.py > seed_decisions.csv
"""
# SPDX-License-Identifier: Apache-2.0
import random


def seed_decision(canary_errors, stable_errors, canary_p99, stable_p99, analysis_duration):
    error_threshold = 0.10
    error_diff = canary_errors - stable_errors
    error_passed = error_diff <= error_threshold
    latency_threshold = 0.20
    if stable_p99 > 0:
        latency_increase = (canary_p99 - stable_p99) / stable_p99
    else:
        latency_increase = 0
    latency_passed = latency_increase <= latency_threshold
    if not (error_passed and latency_passed):
        decision = "rollback"
    elif analysis_duration >= 10:
        decision = "promote"
    else:
        decision = "continue"
    return decision, error_diff, error_passed, latency_increase, latency_passed


def histogram_quantile(q, bounds, counts):
    rank = q * sum(counts)
    cumulative, seen = [], 0
    for n in counts:
        seen += n
        cumulative.append(seen)
    b = next(i for i, c in enumerate(cumulative) if c >= rank and counts[i] > 0)
    if b == len(bounds):
        return bounds[-1]
    if b == 0 and bounds[0] <= 0:
        return bounds[0]
    start = bounds[b - 1] if b > 0 else 0
    before = cumulative[b - 1] if b > 0 else 0
    return start + (bounds[b] - start) * (rank - before) / counts[b]


def row(c_req, c_err, s_req, s_err, bounds, c_counts, s_counts, age):
    c99 = histogram_quantile(0.99, bounds, c_counts)
    s99 = histogram_quantile(0.99, bounds, s_counts)
    decision, diff, error_ok, increase, latency_ok = seed_decision(c_err / c_req, s_err / s_req, c99, s99, age)
    spaced = lambda xs: " ".join(str(x) for x in xs)
    print(",".join(str(x) for x in (c_req, c_err, s_req, s_err, spaced(bounds), spaced(c_counts), spaced(s_counts), age, decision,
                                    repr(diff), int(error_ok), repr(increase), int(latency_ok))))


def main():
    rng = random.Random(2)
    print("canary_requests,canary_errors,stable_requests,stable_errors,bounds,canary_counts,stable_counts,age,decision,diff,"
          "error_passed,increase,latency_passed")
    bounds = [10, 25, 50, 100, 250, 500, 1000]
    quiet = [0, 500, 480, 20, 0, 0, 0, 0]
    for c_err, s_err in ((0, 0), (100, 0), (101, 0), (110, 10), (111, 10), (150, 50), (300, 200), (1000, 900), (1000, 899), (0, 1000)):
        row(1000, c_err, 1000, s_err, bounds, quiet, quiet, 10)
    for age in (0, 9.99, 10, 10.01, 1440):
        row(100, 0, 1900, 0, bounds, [0, 50, 48, 2, 0, 0, 0, 0], quiet, age)
    # A stable p99 of 0: the increase is 0 whatever the canary does.
    row(1000, 0, 1000, 0, [0, 10, 100], [0, 0, 1000, 0], [1000, 0, 0, 0], 15)
    # All of it in the last bucket of both.
    row(1000, 0, 1000, 0, bounds, [0] * 7 + [1000], [0] * 7 + [1000], 15)
    for _ in range(300):
        total = rng.choice((100, 140, 999, 5000))
        stable_total = rng.choice((1900, 20000))
        stable = [0] * 8
        canary = [0] * 8
        weights = [rng.random() ** 3 + 1e-6 for _ in range(8)]
        for _ in range(total):
            canary[rng.choices(range(8), weights)[0]] += 1
        if rng.random() < 0.5:
            weights = [w * rng.uniform(0.7, 1.4) for w in weights]
        for _ in range(stable_total // 10):
            stable[rng.choices(range(8), weights)[0]] += 10
        s_err = int(stable_total * rng.choice((0, 0.002, 0.05, 0.3)))
        c_err = min(total, int(total * (s_err / stable_total + rng.choice((0, 0, 0.05, 0.0999, 0.1001, 0.4)))))
        row(total, c_err, stable_total, s_err, bounds, canary, stable, rng.choice((0, 5, 9.999, 10, 33)))


if __name__ == "__main__":
    main()
