// Many signals and routes, one error budget. Pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace coalmine::judge {

// Which of the e-values are discoveries at false discovery rate alpha, under any dependence and at
// any time (e-BH: Wang and Ramdas, JRSS-B 2022): the k* largest, k* = max{k : the k-th largest >= K
// / (alpha k)}. Indexes, ascending. NaN is no evidence.
std::vector<std::size_t> e_bh(std::span<const double> e_values, double alpha);

// ln of the weighted average of e-values given as logarithms: an e-process for "none of them",
// under any dependence, when the weights were fixed beforehand and add up to 1 at most (the
// remainder is a wasted bet that stays at 0).
double log_weighted_average(std::span<const double> log_e, std::span<const double> weights);

// How much too strong the evidence of several members is where there is nothing to find: the least
// factor, at least 1, for which the k-th largest of their n logarithms of e-values is at most
// factor * ln(n / (k chance)) for every k. Where they are e-processes of true nulls, more than 1 is
// seen at any time with probability at most chance, under any dependence: if it is, the k largest
// alone make the mean of all n e-values 1 / chance or more, and the mean is an e-process itself
// (Ville). chance: above 0 and below 1. NaN is no evidence.
double evidence_excess(std::vector<double> log_e, double chance);

} // namespace coalmine::judge
