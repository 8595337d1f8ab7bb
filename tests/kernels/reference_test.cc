// Kernel and reference agree over requests of every kind. The reference is held
// against numbers that were computed elsewhere with 50 digits.
#include "kernels/reference/reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/kernels/random_segment.h"

namespace lossd::kernels {
namespace {

double Largest(const std::vector<long double>& values) {
  long double largest = 0;
  for (const long double v : values) {
    if (std::isfinite(v)) largest = std::max(largest, std::fabs(v));
  }
  return static_cast<double>(largest);
}

TEST(Reference, IsRightWhereTheDigitsAreKnown) {
  // The losses and derivatives are log(1 + e^-x) and 1 / (1 + e^x).
  const struct {
    long double x, softplus, sigmoid;
  } known[] = {
      {0.5L, 0.474076984180106668L, 0.377540668798145435L},
      {10.0L, 4.53988992168646467e-5L, 4.53978687024343945e-5L},
      {50.0L, 1.92874984796391766e-22L, 1.92874984796391766e-22L},
  };
  for (const auto& k : known) {
    const auto positive = reference::SigmoidCrossEntropy(k.x, 1, 1, 1);
    EXPECT_NEAR(static_cast<double>(positive.loss / k.softplus), 1, 1e-15);
    EXPECT_NEAR(static_cast<double>(positive.derivative / -k.sigmoid), 1,
                1e-15);
    const auto mirrored = reference::SigmoidCrossEntropy(-k.x, 0, 1, 1);
    EXPECT_EQ(mirrored.loss, positive.loss);
    EXPECT_EQ(mirrored.derivative, -positive.derivative);
  }
}

TEST(Reference, AgreesWithTheKernelForRequestsOfEveryKind) {
  int compared = 0;
  for (unsigned seed = 0; seed < 600; ++seed) {
    const auto owned = RandomSegment(seed);
    const SegmentAnswer answer = owned->Compute(cpu::BestInstructionSet());
    if (answer.totals.first_bad_target != kNoIndex) continue;
    const reference::Answer exact = reference::Compute(owned->segment);
    ASSERT_EQ(answer.totals.first_operand_fault, exact.first_operand_fault)
        << "seed " << seed;
    if (exact.first_operand_fault != kNoIndex) continue;
    ++compared;
    EXPECT_EQ(answer.totals.valid_count, exact.valid_count) << "seed " << seed;
    EXPECT_EQ(answer.totals.nan_count, exact.nan_count) << "seed " << seed;
    // The terms of soft targets cancel: an element's error is then relative to
    // the largest element of its kind.
    const auto close = [](double got, long double want, double largest = 1e-3,
                          ElementType type = ElementType::kFloat64) {
      if (std::isnan(want)) return std::isnan(got);
      // The middle of 448, its largest value, and the next one, which it lacks.
      if (type == ElementType::kFloat8E4M3Fn && std::fabs(want) > 463) {
        return std::isnan(got) || std::fabs(want) < 465;
      }
      if (std::isinf(want)) return static_cast<long double>(got) == want;
      return std::fabs(got - static_cast<double>(want)) <=
             3e-7 * largest + 2e-6 * std::fabs(static_cast<double>(want)) +
                 RoundingError(type, static_cast<double>(want));
    };
    EXPECT_TRUE(close(answer.normalizer, exact.normalizer)) << "seed " << seed;
    if (answer.totals.nan_count == 0) {
      EXPECT_TRUE(close(answer.loss, exact.loss)) << "seed " << seed;
    }
    if (owned->segment.gradient != nullptr) {
      const auto gradient = owned->gradient();
      // The terms that cancel are at most this large: weights are at most 2.
      const double term =
          2 * std::fabs(GradientScale(owned->segment, answer.normalizer));
      const double largest = std::max(term, Largest(exact.gradient));
      for (size_t i = 0; i < gradient.size(); ++i) {
        ASSERT_TRUE(close(gradient[i], exact.gradient[i], largest,
                          owned->segment.gradient_type))
            << "seed " << seed << " element " << i << ": " << gradient[i]
            << " is not " << exact.gradient[i];
      }
    }
    if (owned->segment.second_derivative != nullptr) {
      const auto second = owned->second_derivative();
      // The terms of a loss with powers cancel, too.
      const double term =
          40 * std::fabs(GradientScale(owned->segment, answer.normalizer));
      for (size_t i = 0; i < second.size(); ++i) {
        ASSERT_TRUE(close(second[i], exact.second_derivative[i], term,
                          owned->segment.gradient_type))
            << "seed " << seed << " element " << i << ": " << second[i]
            << " is not " << exact.second_derivative[i];
      }
    }
    if (owned->segment.losses != nullptr) {
      const auto losses = owned->losses();
      const double largest = Largest(exact.losses);
      for (size_t i = 0; i < losses.size(); ++i) {
        ASSERT_TRUE(close(losses[i], exact.losses[i], largest,
                          owned->segment.losses_type))
            << "seed " << seed << " element " << i << ": " << losses[i]
            << " is not " << exact.losses[i];
      }
    }
  }
  EXPECT_GT(compared, 300);
}

}  // namespace
}  // namespace lossd::kernels
