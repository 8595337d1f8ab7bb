// The judge finds every fault, and only faults.
#include "tests/judge/judge.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string_view>

#include "tests/judge/families.h"
#include "tests/judge/mpfr_judge.h"
#include "tests/judge/report.h"

namespace lossd::judge {
namespace {

constexpr float kLeast = std::numeric_limits<float>::denorm_min();

TEST(Ulp, IsOneBetweenNeighboursEverywhere) {
  for (const float x : {1.0f, 1.5f, 0x1.fffffep3f, 0x1p-126f, 0x1.8p-126f,
                        0x1p-130f, kLeast, 0x1.8p127f}) {
    const float next =
        std::nextafter(x, std::numeric_limits<float>::infinity());
    EXPECT_EQ(Ulps(next, x), 1.0) << x;
    EXPECT_EQ(Ulps(-next, -x), 1.0) << x;
    EXPECT_EQ(Ulps(x, x), 0.0) << x;
  }
}

TEST(Ulp, IsTheLargerOneAtAPowerOfTwoAndTheLeastBelowTheNormalNumbers) {
  EXPECT_EQ(Ulps(std::nextafter(1.0f, 0.0f), 1.0), 0.5);
  EXPECT_EQ(Ulps(1.0f, 1.0 - 0x1p-25), 0.5);
  EXPECT_EQ(Ulps(0.0f, 0x1p-150), 0.5);
  EXPECT_EQ(Ulps(kLeast, 0x1p-1000), 1.0);
  EXPECT_EQ(Ulps(kLeast, 0.0), 1.0);
  EXPECT_TRUE(std::isinf(Ulps(std::nanf(""), 1.0)));
}

TEST(UlpTally, CountsEachErrorInItsBucketAndKeepsTheWorst) {
  UlpTally tally;
  const double unit = 0x1p-23;
  for (const double ulps : {0.0, 0.5, 0.55, 0.95, 1.0, 1.2, 2.0, 2.5, 9.0}) {
    tally.Add(static_cast<float>(ulps), 1.0f, 1.0 + ulps * unit);
  }
  const Histogram expected = {2, 1, 0, 0, 0, 2, 1, 1, 2};
  EXPECT_EQ(tally.buckets, expected);
  EXPECT_EQ(tally.max, 9.0);
  EXPECT_EQ(tally.worst, 9.0f);
  EXPECT_EQ(tally.count, 9u);
}

TEST(UlpTally, MergesToTheSameInAnyOrder) {
  UlpTally a, b;
  a.Add(3, 1.0f, 1.0 + 0x1p-22);
  a.Add(-20, 0.0f, 1e-9);
  b.Add(2, 1.0f, 1.0 + 0x1p-22);
  b.Add(-17, 0.0f, 4e-8);
  UlpTally ab = a, ba = b;
  ab.Merge(b);
  ba.Merge(a);
  EXPECT_EQ(ab.worst, ba.worst);
  EXPECT_EQ(ab.first_lost, -17.0f);
  EXPECT_EQ(ba.first_lost, -17.0f);
  EXPECT_EQ(ab.buckets, ba.buckets);
}

// A line of logits around 1 with correctly rounded results.
struct Sample {
  Sample() : line(Magnitudes()) {
    for (const int t : {0, 1}) {
      for (size_t i = 0; i < line.size(); ++i) {
        results[t].losses.push_back(static_cast<float>(line.At(i, t).loss));
        results[t].gradient.push_back(
            static_cast<float>(line.At(i, t).gradient));
        results[t].second.push_back(static_cast<float>(line.At(i, t).second));
      }
    }
  }
  static std::vector<uint32_t> Magnitudes() {
    std::vector<uint32_t> magnitudes;
    for (uint32_t k = 0; k < 100; ++k) magnitudes.push_back(0x3f800000 + k);
    return magnitudes;
  }
  FormTally Judged() const {
    FormTally tally;
    Judge(line, results, tally);
    return tally;
  }

  Line line;
  std::array<Results, 2> results;
};

TEST(Judge, FindsNothingWrongWithCorrectResults) {
  const FormTally tally = Sample().Judged();
  for (const int t : {0, 1}) {
    EXPECT_EQ(tally.loss[t].count, 198u);
    EXPECT_EQ(tally.loss[t].rounded_correctly, 198u);
    EXPECT_EQ(tally.gradient[t].rounded_correctly, 198u);
    EXPECT_EQ(tally.loss_steps[t].count, 0u);
    EXPECT_EQ(tally.gradient_steps[t].count, 0u);
    EXPECT_EQ(tally.second[t].rounded_correctly, 198u);
    EXPECT_EQ(tally.second_steps[t].count, 0u);
  }
  EXPECT_EQ(tally.loss_symmetry.count, 0u);
  EXPECT_EQ(tally.gradient_symmetry.count, 0u);
  EXPECT_EQ(tally.second_symmetry.count, 0u);
}

// Near |x| = 1 the second derivative falls with |x|, so a larger one to the
// left of 0 is a step back from the left, and one to the right a step up.
TEST(Judge, FindsASecondDerivativeThatRisesAwayFromZero) {
  for (const size_t i : {5, 150}) {
    Sample sample;
    sample.results[0].second[i] *= 1 + 0x1p-19f;
    const FormTally tally = sample.Judged();
    EXPECT_EQ(tally.second_steps[0].count, 1u) << i;
    EXPECT_EQ(tally.second_steps[1].count, 0u) << i;
    EXPECT_EQ(tally.second_symmetry.count, 1u) << i;
    EXPECT_GT(tally.second[0].max, 7) << i;
    EXPECT_EQ(tally.gradient_steps[0].count, 0u) << i;
  }
}

TEST(Judge, FindsOneStepBackAndWhatItIsNotSymmetricTo) {
  for (const size_t i : {5, 150}) {
    for (const int t : {0, 1}) {
      Sample sample;
      // The loss moves by about 20 units in the direction in which the next one
      // must not go back.
      const float off = 1 + (t == 0 ? 0x1p-19f : -0x1p-19f);
      sample.results[t].losses[i] *= off;
      const FormTally tally = sample.Judged();
      EXPECT_EQ(tally.loss_steps[t].count, 1u) << i;
      EXPECT_EQ(tally.loss_steps[1 - t].count, 0u) << i;
      EXPECT_EQ(tally.loss_symmetry.count, 1u) << i;
      EXPECT_EQ(tally.gradient_symmetry.count, 0u) << i;
      EXPECT_GT(tally.loss[t].max, 7) << i;
    }
  }
}

TEST(Judge, FindsAStepBackToALineThatFollows) {
  Sample sample;
  sample.results[0].gradient.back() *= 1 - 0x1p-19f;
  const FormTally tally = sample.Judged();
  EXPECT_EQ(tally.gradient_steps[0].count, 1u);
  EXPECT_EQ(tally.gradient_steps[1].count, 0u);
  EXPECT_LE(tally.gradient[0].max, 0.5);  // that logit is the next line's
}

TEST(Judge, WantsTheSameAtBothZeros) {
  const std::vector<uint32_t> magnitudes = {0, 1};
  const Line line(magnitudes);
  std::array<Results, 2> results;
  for (const int t : {0, 1}) {
    const float half = t == 0 ? 0.5f : -0.5f;
    results[t] = {{0.7f, 0.7f, 0.7f, 0.7f}, {half, half, half, half}, {}};
  }
  FormTally tally;
  Judge(line, results, tally);
  EXPECT_EQ(tally.loss_steps[0].count, 0u);
  for (const int t : {0, 1}) {
    results[t].losses = {0.6f, 0.6f, 0.7f, 0.7f};
  }
  Judge(line, results, tally);
  EXPECT_EQ(tally.loss_steps[0].count, 1u);
}

TEST(MpfrJudge, KnowsValuesThatFollowFromTheDefinition) {
  const long double ln2 = 0.693147180559945309417232121458176568L;
  const WideElement zero = MpfrCrossEntropy({0, 0});
  EXPECT_LT(zero.loss.DistanceOf(ln2), 1e-19L);
  EXPECT_EQ(zero.derivative.DistanceOf(0.5L), 0);
  const WideElement weighted = MpfrCrossEntropy({0, 0.25, 3, 2});
  EXPECT_LT(weighted.loss.DistanceOf(3 * ln2), 1e-18L);
  EXPECT_EQ(weighted.derivative.DistanceOf(0), 0);
  // Smoothing 1/2 makes 1/4 of a target of 0.
  const WideElement smoothed = MpfrCrossEntropy({7, 0, 1, 1, 0.5L});
  const WideElement quarter = MpfrCrossEntropy({7, 0.25});
  EXPECT_EQ(smoothed.loss.high, quarter.loss.high);
  EXPECT_EQ(smoothed.derivative.high, quarter.derivative.high);
  // The loss at -40 is e^-40 (1 - e^-40 / 2). At -1000 it is below float64.
  const long double tail = std::exp(-40.0L);
  EXPECT_LT(MpfrCrossEntropy({-40, 0}).loss.DistanceOf(tail - tail * tail / 2),
            tail * 1e-18L);
  EXPECT_LT(MpfrCrossEntropy({1000, 1}).loss.DistanceOf(std::exp(-1000.0L)),
            std::exp(-1000.0L) * 1e-16L);
  EXPECT_EQ(MpfrCrossEntropy({1000, 0}).loss.high, 1000.0L);
}

TEST(MpfrJudge, KnowsSecondDerivativesThatFollowFromTheDefinition) {
  // s(x) s(-x) is 1/4 at 0, and e^-x (1 - 2 e^-x) far from it.
  EXPECT_EQ(MpfrCrossEntropy({0, 0.25, 3, 2}).second.DistanceOf(0.75L), 0);
  const long double tail = std::exp(-40.0L);
  EXPECT_LT(MpfrCrossEntropy({40, 1}).second.DistanceOf(tail - 2 * tail * tail),
            tail * 1e-18L);
  // The focal loss of gamma 1 for t = 1 is u log(1 + e^-x) with u = s(-x), and
  // its second derivative comes from differences in long double.
  kernels::LossParameters focal;
  focal.gamma_positive = 1;
  const auto loss = [](long double x) {
    const long double u = 1 / (1 + std::exp(x));
    return u * std::log1p(std::exp(-x));
  };
  const long double h = 1e-4L;
  const long double bend = (loss(h) - 2 * loss(0) + loss(-h)) / (h * h);
  EXPECT_LT(MpfrFocal({0, 1}, focal).second.DistanceOf(bend), 1e-8L);
}

TEST(MpfrJudge, KnowsTheKindsOfDetectionAtZero) {
  const long double ln2 = 0.693147180559945309417232121458176568L;
  kernels::LossParameters loss;
  loss.gamma_positive = loss.gamma_negative = 1;
  loss.epsilon = 3;
  const auto of = [&](kernels::LossKind kind, long double t) {
    return MpfrOfKind(kind, {0, t}, loss);
  };
  EXPECT_LT(of(kernels::LossKind::kPoly, 1).loss.DistanceOf(ln2 / 2 + 0.75L),
            1e-18L);
  EXPECT_LT(
      of(kernels::LossKind::kQualityFocal, 0.75L).loss.DistanceOf(ln2 / 4),
      1e-18L);
  EXPECT_LT(of(kernels::LossKind::kVarifocal, 0.5L).loss.DistanceOf(ln2 / 2),
            1e-18L);
  loss.alpha_negative = 0.25;
  EXPECT_LT(of(kernels::LossKind::kVarifocal, 0).loss.DistanceOf(ln2 / 8),
            1e-18L);
}

TEST(MpfrJudge, KnowsTheOtherLossesAtZero) {
  const long double ln2 = 0.693147180559945309417232121458176568L;
  kernels::LossParameters focal;
  focal.gamma_positive = 2;
  focal.alpha_positive = 0.25;
  // The loss is 1/4 (1/2)^2 ln 2, its derivative -1/4 (1/2)^2 (1/2 + 2 ln 2 /
  // 2).
  const WideElement positive = MpfrFocal({0, 1}, focal);
  EXPECT_LT(positive.loss.DistanceOf(ln2 / 16), 1e-20L);
  EXPECT_LT(positive.derivative.DistanceOf(-(0.5L + ln2) / 16), 1e-20L);
  kernels::LossParameters asymmetric;
  asymmetric.gamma_negative = 1;
  asymmetric.margin = 0.25;
  // The loss is 1/4 (-log 3/4), its derivative 1/4 (-log(3/4) + 1/4 / (3/4)).
  const long double log = -std::log(0.75L);
  const WideElement negative = MpfrAsymmetric({0, 0}, asymmetric);
  EXPECT_LT(negative.loss.DistanceOf(log / 4), 1e-19L);
  EXPECT_LT(negative.derivative.DistanceOf((log + 1.0L / 3) / 4), 1e-19L);
  EXPECT_EQ(MpfrAsymmetric({-2, 0}, asymmetric).loss.high, 0);
  EXPECT_LT(MpfrAsymmetric({0, 1}, asymmetric).loss.DistanceOf(ln2), 1e-19L);
}

// Without a margin it is the focal loss of either target, also where 1 - p is
// 2^-1000.
TEST(MpfrJudge, KnowsTheAsymmetricLossFarFromZero) {
  kernels::LossParameters loss;
  loss.gamma_positive = loss.gamma_negative = 2;
  for (const long double x :
       {-700.0L, -569.0L, -40.0L, 0.5L, 40.0L, 569.0L, 700.0L}) {
    for (const long double t : {0.0L, 1.0L}) {
      const WideElement asymmetric = MpfrAsymmetric({x, t}, loss);
      const WideElement focal = MpfrFocal({x, t}, loss);
      const auto expect_same = [&](const Wide& got, const Wide& wanted) {
        EXPECT_LE(got.DistanceOf(wanted.high),
                  std::fabs(wanted.high) * 0x1p-60L)
            << static_cast<double>(x) << " " << static_cast<double>(t);
      };
      expect_same(asymmetric.loss, focal.loss);
      expect_same(asymmetric.derivative, focal.derivative);
      expect_same(asymmetric.second, focal.second);
    }
  }
}

TEST(Wide, IsInfinitelyFarFromANan) {
  const long double infinity = std::numeric_limits<long double>::infinity();
  EXPECT_EQ((Wide{infinity, std::nanl("")}.DistanceOf(1)), infinity);
  EXPECT_EQ((Wide{1, 0}.DistanceOf(std::nanl(""))), infinity);
}

const Family& FamilyOf(std::string_view name) {
  for (const Family& family : Families()) {
    if (family.name == name) return family;
  }
  ADD_FAILURE() << name;
  return Families().front();
}

// With gamma 0 the second derivative is the entropy's, and 0 where (1 - p)^2 is
// about m (2 p - 1). The size of its terms is not.
TEST(Families, TheTermsOfAMarginHaveASizeWhereTheyCancel) {
  Draw draw;
  draw.options.kind = kernels::LossKind::kAsymmetric;
  draw.options.asymmetric_margin = 0.125;
  const auto second = [&](long double x) {
    return MpfrAsymmetric({x, 0}, kernels::ParametersOf(draw.options))
        .second.high;
  };
  long double below = 0, above = 3;
  ASSERT_GT(second(below), 0);
  ASSERT_LT(second(above), 0);
  for (int k = 0; k < 60; ++k) {
    const long double middle = (below + above) / 2;
    (second(middle) > 0 ? below : above) = middle;
  }
  ASSERT_LT(std::fabs(second(below)), 1e-15L);
  const ElementInputs in = {below, 0};
  EXPECT_GT(FamilyOf("asymmetric, margin").second_size(in, draw), 0.1L);
}

TEST(Report, NamesEachOutputThatBreaksItsBound) {
  FamilyFindings found;
  found.family = &FamilyOf("poly");
  const Bounds& bounds = found.family->bounds;
  ASSERT_LT(bounds.loss, bounds.second);
  found.loss.max = found.gradient.max = found.second.max = bounds.loss;
  Report report;
  report.families = {found};
  EXPECT_EQ(Broken(report), "");
  report.families[0].second.max = bounds.second + 1;
  EXPECT_EQ(Broken(report),
            "poly, float32: second derivative 7.000 ulp, its bound is 6\n");
  report.families[0].second.max = bounds.second;
  report.families[0].loss.max = bounds.second;
  report.families[0].reference_error = 1;
  EXPECT_EQ(Broken(report),
            "poly, float32: loss 6.000 ulp, its bound is 4\n"
            "poly, float32: reference 1.000 ulp, its bound is 0.04\n");
}

}  // namespace
}  // namespace lossd::judge
