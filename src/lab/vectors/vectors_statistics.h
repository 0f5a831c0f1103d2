// Published statistics that the judges do not use, but that golden vectors name: they check the
// functions that the judges share with them (mixtures, beta functions), and give planning figures
// and benchmarks something to compare with. Pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "judge/stats/linear_margin.h"

namespace coalmine::lab::statistics {

// Safe test of two proportions in blocks of na and nb outcomes (Turner, Ly and Grunwald, arXiv
// 2106.02693): ln E after every block.
std::vector<double> safe_two_by_two(std::span<const double> ya, std::span<const double> yb,
                                    double na, double nb);

// Rate of a Poisson process of unit exposure after n events (Lindon and Kallus, arXiv 2410.09282).
judge::Interval gamma_poisson_interval(double n, double phi, double alpha);

// Time-uniform boundaries of Howard, Ramdas, McAuliffe and Sekhon (Annals of Statistics 2021) and
// of Howard and Ramdas (2022).
double normal_log_mixture(double s, double v, double v_opt, double alpha_opt, bool one_sided);
double normal_mixture_bound(double v, double alpha, double v_opt, double alpha_opt, bool one_sided);
double beta_binomial_mixture_bound(double v, double alpha, double v_opt, double alpha_opt, double g,
                                   double h, bool one_sided);
double poly_stitching_bound(double v, double alpha, double v_min, double c, double s, double eta);
double lil_constant(double alpha, double a);
double lil_bound(double t, double alpha, double t_min, double a);
double double_stitching_bound(double p, double t, double alpha, double t_opt, double delta,
                              double s, double eta);
judge::Interval bernoulli_interval(double x, double n, double alpha, double t_opt,
                                   double alpha_opt);

// Predictable plug-in empirical Bernstein interval of a mean of values in [0, 1] (Waudby-Smith and
// Ramdas, arXiv 2010.09686).
judge::Interval empirical_bernstein(std::span<const double> values, double alpha, double c);

// Canary requests below which no test of level alpha can tell p1 from p0 (information bound), with
// ratio stable requests each.
double lower_bound_requests(double p1, double p0, double ratio, double alpha);

// The constant c of a one-sided group sequential test of level alpha with K equal looks and
// boundaries c (K/k)^shape: 0 is Pocock's, 0.5 O'Brien and Fleming's. Absolute error below 1e-5.
double group_sequential_constant(int looks, double alpha, double shape);

} // namespace coalmine::lab::statistics
