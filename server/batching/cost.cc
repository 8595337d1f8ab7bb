#include "server/batching/cost.h"

#include <algorithm>

namespace lossd::batching {
namespace {

constexpr double kNewestWeight = 0.125;

// Elements dominate the cost of a request that has at least this many.
constexpr int64_t kLargeRequestElements = 16384;

void Average(double newest, double* average) {
  *average += kNewestWeight * (std::max(newest, 0.0) - *average);
}

}  // namespace

void CostModel::Learn(int64_t requests, int64_t elements,
                      absl::Duration spent) {
  const double seconds = absl::ToDoubleSeconds(spent);
  if (seconds <= 0 || requests <= 0 || elements <= 0) return;
  const auto r = static_cast<double>(requests);
  const auto e = static_cast<double>(elements);
  if (elements / requests >= kLargeRequestElements) {
    Average((seconds - r * seconds_per_request_) / e, &seconds_per_element_);
  } else {
    Average((seconds - e * seconds_per_element_) / r, &seconds_per_request_);
  }
}

absl::Duration CostModel::Estimate(int64_t requests, int64_t elements) const {
  return absl::Seconds(static_cast<double>(requests) * seconds_per_request_ +
                       static_cast<double>(elements) * seconds_per_element_);
}

}  // namespace lossd::batching
