// Errors in units of the last place, and how they are counted.
//
// The unit is that of the exact value y (Goldberg's, for reals as in Muller et
// al., Handbook of Floating-Point Arithmetic): where 2^e <= |y| < 2^(e+1), it
// is 2^(e - 23) for float32; below the least normal number it stays that of the
// subnormals, 2^-149. At a power of two it is the larger of the two units that
// meet there. A result that is rounded correctly is at most 1/2 away.
#ifndef LOSSD_TESTS_JUDGE_ULP_H_
#define LOSSD_TESTS_JUDGE_ULP_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace lossd::judge {

// Returns 1 / unit of float32 at `exact`, which is finite.
inline double InverseUnit(double exact) {
  const int biased = static_cast<int>(std::bit_cast<uint64_t>(exact) >> 52) &
                     0x7ff;  // without the sign
  const int exponent = std::max(biased - 1023, -126);
  return std::bit_cast<double>(static_cast<uint64_t>(1023 + 23 - exponent)
                               << 52);
}

// Returns the distance in ulps. A NaN is infinitely far away.
inline double Ulps(float got, double exact) {
  const double ulps =
      std::fabs(static_cast<double>(got) - exact) * InverseUnit(exact);
  return ulps == ulps ? ulps : std::numeric_limits<double>::infinity();
}

// The upper ends of the histogram's buckets. One more bucket takes larger
// errors.
inline constexpr std::array<double, 8> kBucketEnds = {0.5, 0.6, 0.7, 0.8,
                                                      0.9, 1.0, 1.5, 2.0};
using Histogram = std::array<uint64_t, kBucketEnds.size() + 1>;

inline void AddTo(Histogram& histogram, double ulps) {
  size_t bucket = 0;
  while (bucket < kBucketEnds.size() && ulps > kBucketEnds[bucket]) ++bucket;
  ++histogram[bucket];
}

// The errors of one output of one form over many logits. Merging in any order
// gives the same tally.
struct UlpTally {
  uint64_t count = 0;
  // Results that are the float32 nearest to the exact value. The middle ones
  // are those at 2^-12 <= |x| < 128, where results are neither constants nor
  // the logit itself.
  uint64_t rounded_correctly = 0;
  uint64_t middle_count = 0;
  uint64_t middle_rounded_correctly = 0;
  Histogram buckets{};
  double max = 0;
  float worst = 0;  // the least logit with the error `max`
  // The logit closest to 0 whose result has no right digit: it is off by half
  // of the exact value or more, and the exact value is a normal number.
  float first_lost = std::numeric_limits<float>::infinity();

  void Add(float x, float got, double exact) {
    const double ulps = Ulps(got, exact);
    ++count;
    const uint64_t rounded = got == static_cast<float>(exact) ? 1 : 0;
    rounded_correctly += rounded;
    if (std::fabs(x) >= 0x1p-12f && std::fabs(x) < 128) {
      ++middle_count;
      middle_rounded_correctly += rounded;
    }
    AddTo(buckets, ulps);
    if (ulps >= max && (ulps > max || x < worst)) {
      max = ulps;
      worst = x;
    }
    if (ulps > 0x1p20) NoteLost(x, got, exact);
  }

  void Merge(const UlpTally& other) {
    if (other.max > max || (other.max == max && other.worst < worst)) {
      max = other.max;
      worst = other.worst;
    }
    count += other.count;
    rounded_correctly += other.rounded_correctly;
    middle_count += other.middle_count;
    middle_rounded_correctly += other.middle_rounded_correctly;
    for (size_t i = 0; i < buckets.size(); ++i) buckets[i] += other.buckets[i];
    if (std::fabs(other.first_lost) < std::fabs(first_lost))
      first_lost = other.first_lost;
  }

 private:
  void NoteLost(float x, float got, double exact) {
    const double least = std::numeric_limits<float>::min();
    if (std::fabs(exact) >= least &&
        !(std::fabs(static_cast<double>(got) - exact) <
          0.5 * std::fabs(exact)) &&
        std::fabs(x) < std::fabs(first_lost)) {
      first_lost = x;
    }
  }
};

// Counts something that must not happen.
struct Violations {
  uint64_t count = 0;
  float first = std::numeric_limits<float>::infinity();  // the least logit

  void Add(float x) {
    ++count;
    first = std::min(first, x);
  }
  void Merge(const Violations& other) {
    count += other.count;
    first = std::min(first, other.first);
  }
};

}  // namespace lossd::judge

#endif  // LOSSD_TESTS_JUDGE_ULP_H_
