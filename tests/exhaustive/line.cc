#include "tests/exhaustive/line.h"

#include <bit>
#include <cmath>

namespace lossd::exhaustive {
namespace {

// What both signs of a logit share.
struct Shared {
  double log1p;
  double large;  // 1 / (1 + z)
  double small;  // z / (1 + z)
};

Shared SharedAt(double magnitude) {
  const double z = std::exp(-magnitude);
  const double sum = 1 + z;
  return {std::log1p(z), 1 / sum, z / sum};
}

}  // namespace

Exact ExactAt(float x) {
  const double y = std::fabs(static_cast<double>(x));
  const Shared shared = SharedAt(y);
  if (std::signbit(x)) return {shared.log1p, shared.small};
  return {y + shared.log1p, shared.large};
}

Line::Line(std::span<const uint32_t> magnitudes)
    : logits_(2 * magnitudes.size()), exact_(2 * magnitudes.size()) {
  const size_t n = magnitudes.size();
  for (size_t k = 0; k < n; ++k) {
    const float y = std::bit_cast<float>(magnitudes[k]);
    logits_[n + k] = y;
    logits_[n - 1 - k] = -y;
    const Shared shared = SharedAt(y);
    exact_[n + k] = {y + shared.log1p, shared.large};
    exact_[n - 1 - k] = {shared.log1p, shared.small};
  }
}

}  // namespace lossd::exhaustive
