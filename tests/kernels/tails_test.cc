// The shape of the curve over neighbouring floating-point numbers: it never
// steps the wrong way, and it is symmetric.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {
namespace {

struct Curve {
  std::vector<double> losses;
  std::vector<double> gradient;
};

template <class T>
class TailsOf : public testing::Test {};
using ArithmeticTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(TailsOf, ArithmeticTypes);

template <class T>
Curve CurveOf(const std::vector<double>& logits, double target,
              double pos_weight = 1) {
  const ElementType type =
      sizeof(T) == 4 ? ElementType::kFloat32 : ElementType::kFloat64;
  OwnedSegment owned(type, {logits.size()});
  owned.SetLogits(logits);
  owned.SetTargets(type, std::vector<double>(logits.size(), target));
  owned.SetPosWeight({pos_weight}, {0});
  owned.segment.options.reduction = Reduction::kNone;
  owned.WantLosses();
  owned.Compute(cpu::BestInstructionSet());
  return {owned.losses(), owned.gradient()};
}

// Returns `count` neighbours upwards from `start`.
template <class T>
std::vector<double> NeighboursFrom(T start, int count) {
  std::vector<double> logits;
  for (T x = start; count > 0; --count) {
    logits.push_back(x);
    x = std::nextafter(x, std::numeric_limits<T>::infinity());
  }
  return logits;
}

// Returns places around each switch of formula, each rounding of the exponent,
// and where results become subnormal and then 0.
template <class T>
std::vector<T> Starts() {
  std::vector<T> starts = {0,       T(0.4999), T(0.99999), T(16.63), T(17.3),
                           T(36.7), T(87.33),  T(88.7),    T(103.2), T(103.97)};
  for (int n = 1; n < 150; n += 7) starts.push_back(T((n - 0.5) * M_LN2));
  if (sizeof(T) == 8) {
    starts.insert(starts.end(), {T(708.39), T(745.1), T(745.13)});
  }
  return starts;
}

// Returns true if no value is below its predecessor by more than its last bit.
template <class T>
bool RisesButForLastBits(const std::vector<double>& values) {
  for (size_t i = 1; i < values.size(); ++i) {
    const T before = static_cast<T>(values[i - 1]);
    if (values[i] < std::nextafter(before, -std::numeric_limits<T>::infinity()))
      return false;
  }
  return true;
}

// The loss is in order. The gradient is so flat that an error below an ulp may
// turn a step of one last bit around; it may do no more than that.
TYPED_TEST(TailsOf, TheLossNeverStepsTheWrongWay) {
  using T = TypeParam;
  for (const T start : Starts<T>()) {
    const std::vector<double> logits = NeighboursFrom<T>(start, 5000);
    const Curve positive = CurveOf<T>(logits, 1);
    EXPECT_TRUE(
        std::is_sorted(positive.losses.rbegin(), positive.losses.rend()))
        << start;
    EXPECT_TRUE(RisesButForLastBits<T>(positive.gradient)) << start;
    const Curve negative = CurveOf<T>(logits, 0);
    EXPECT_TRUE(std::is_sorted(negative.losses.begin(), negative.losses.end()))
        << start;
    EXPECT_TRUE(RisesButForLastBits<T>(negative.gradient)) << start;
  }
}

// Compares (x, t) and (-x, 1 - t) for targets whose complement is exact.
TYPED_TEST(TailsOf, IsMirroredBitForBit) {
  using T = TypeParam;
  const T infinity = std::numeric_limits<T>::infinity();
  for (const T start : Starts<T>()) {
    std::vector<double> logits = NeighboursFrom<T>(start, 500);
    logits.push_back(infinity);
    std::vector<double> mirrored = logits;
    for (double& x : mirrored) x = -x;
    for (const double target : {0.0, 0.25, 0.5, 1.0}) {
      const Curve one = CurveOf<T>(logits, target);
      const Curve other = CurveOf<T>(mirrored, 1 - target);
      for (size_t i = 0; i < logits.size(); ++i) {
        ASSERT_EQ(one.losses[i], other.losses[i]) << logits[i];
        // Bits are compared, so the signs of 0 must agree, too.
        ASSERT_EQ(std::bit_cast<uint64_t>(one.gradient[i]),
                  std::bit_cast<uint64_t>(-other.gradient[i]))
            << logits[i] << " " << target;
      }
    }
  }
}

TEST(Tails, InfiniteLogitsHaveTheLimits) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> logits = {-infinity, infinity};
  for (const double q : {1.0, 3.0}) {
    const Curve positive = CurveOf<float>(logits, 1, q);
    EXPECT_EQ(positive.losses, (std::vector<double>{infinity, 0}));
    EXPECT_EQ(positive.gradient, (std::vector<double>{-q, 0}));
    const Curve negative = CurveOf<float>(logits, 0, q);
    EXPECT_EQ(negative.losses, (std::vector<double>{0, infinity}));
    EXPECT_EQ(negative.gradient, (std::vector<double>{0, 1}));
  }
  // A positive weight of 0 removes the positive term, even if it is infinite.
  EXPECT_EQ(CurveOf<float>(logits, 1, 0).losses, (std::vector<double>{0, 0}));
}

// At the largest finite logits, y times the weight must not overflow to NaN.
TEST(Tails, TheLargestLogitsHaveALossOfTheirOwnSize) {
  for (const float x : {1e10f, 3e38f}) {
    const Curve curve = CurveOf<float>({-x, x}, 1);
    EXPECT_EQ(curve.losses, (std::vector<double>{x, 0}));
    EXPECT_EQ(curve.gradient, (std::vector<double>{-1, 0}));
  }
}

// Logits too small to move ln 2 and 1/2 in float32, subnormals among them.
TEST(Tails, TheSmallestLogitsHaveTheValuesOfZero) {
  const float ln2 = 0x1.62e43p-1f;
  for (const float x : {0.0f, -0.0f, 1e-45f, -1e-45f, 1e-20f}) {
    const Curve curve = CurveOf<float>({x}, 0);
    EXPECT_EQ(curve.losses[0], ln2) << x;
    EXPECT_EQ(curve.gradient[0], 0.5) << x;
  }
}

}  // namespace
}  // namespace lossd::kernels
