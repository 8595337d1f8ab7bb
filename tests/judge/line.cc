#include "tests/judge/line.h"

#include <bit>
#include <cmath>

namespace lossd::exhaustive {
namespace {

// The value at x >= 0 and at -x.
struct Mirrored {
  Exact at;
  Exact at_minus;
};

// Sums of terms of one sign only, so each value is a few roundings of float64
// away from the exact one: ProveReference() measures it.
Mirrored MirroredAt(double x) {
  const double z = std::exp(-x);
  const double sum = 1 + z;
  const double log1p = std::log1p(z);
  return {{x + log1p, 1 / sum}, {log1p, z / sum}};
}

}  // namespace

Exact ExactAt(float x) {
  const Mirrored both = MirroredAt(std::fabs(x));
  return std::signbit(x) ? both.at_minus : both.at;
}

Line::Line(std::span<const uint32_t> magnitudes)
    : logits_(2 * magnitudes.size()), exact_(2 * magnitudes.size()) {
  const size_t n = magnitudes.size();
  for (size_t k = 0; k < n; ++k) {
    const float y = std::bit_cast<float>(magnitudes[k]);
    logits_[n + k] = y;
    logits_[n - 1 - k] = -y;
    const Mirrored both = MirroredAt(y);
    exact_[n + k] = both.at;
    exact_[n - 1 - k] = both.at_minus;
  }
}

}  // namespace lossd::exhaustive
