// Each option alone has the effect on the answer that it must have.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/reference/reference.h"
#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {
namespace {

constexpr uint64_t kCount = kBlockElements + 37;

std::vector<double> Scaled(std::vector<double> values, double factor) {
  for (double& v : values) v *= factor;
  return values;
}

// Logits N(0, 3^2) and hard targets. The last block ends within a vector.
class OptionsTest : public testing::TestWithParam<ElementType> {
 protected:
  std::unique_ptr<OwnedSegment> Make() const {
    std::mt19937 random(5);
    std::normal_distribution<float> logit(0, 3);
    std::vector<double> logits(kCount), targets(kCount);
    for (double& x : logits) x = logit(random);
    for (double& t : targets) t = random() % 2;
    auto owned =
        std::make_unique<OwnedSegment>(GetParam(), std::vector{kCount});
    owned->SetLogits(logits);
    owned->SetTargets(GetParam(), targets);
    owned->segment.options.reduction = Reduction::kSum;
    return owned;
  }
  static SegmentAnswer Compute(OwnedSegment& owned) {
    return owned.Compute(cpu::BestInstructionSet());
  }
};

INSTANTIATE_TEST_SUITE_P(Types, OptionsTest,
                         testing::Values(ElementType::kFloat32,
                                         ElementType::kFloat64),
                         [](const auto& type) {
                           return std::string(Name(type.param));
                         });

TEST_P(OptionsTest, WithoutAGradientTheLossHasTheSameBits) {
  for (const bool exact : {false, true}) {
    const auto with = Make();
    const auto without = Make();
    without->segment.gradient = nullptr;
    for (OwnedSegment* owned : {with.get(), without.get()}) {
      if (exact) owned->SetWeights({0.3}, {0});
    }
    EXPECT_EQ(Compute(*with).loss, Compute(*without).loss);
  }
}

// A power of two scales without rounding.
TEST_P(OptionsTest, LossWeightScalesLossLossesAndGradient) {
  const auto one = Make();
  const auto four = Make();
  four->segment.options.loss_weight = 4;
  one->WantLosses();
  four->WantLosses();
  EXPECT_EQ(4 * Compute(*one).loss, Compute(*four).loss);
  EXPECT_EQ(Scaled(one->gradient(), 4), four->gradient());
  EXPECT_EQ(Scaled(one->losses(), 4), four->losses());
}

TEST_P(OptionsTest, UpstreamScalesTheGradientAlone) {
  const auto one = Make();
  const auto scalar = Make();
  const auto tensor = Make();
  scalar->segment.upstream_scalar = -0.5;
  tensor->SetUpstream({-0.5}, {0});
  const double loss = Compute(*one).loss;
  EXPECT_EQ(Compute(*scalar).loss, loss);
  EXPECT_EQ(Compute(*tensor).loss, loss);
  const std::vector<double> expected = Scaled(one->gradient(), -0.5);
  EXPECT_EQ(scalar->gradient(), expected);
  EXPECT_EQ(tensor->gradient(), expected);
}

TEST_P(OptionsTest, TheMeanIsTheSumOverTheNormalizer) {
  const auto sum = Make();
  const auto mean = Make();
  mean->segment.options.reduction = Reduction::kMean;
  mean->segment.options.normalizer = Normalizer::kCaller;
  mean->segment.options.normalizer_value = 8;
  EXPECT_EQ(Compute(*sum).loss, 8 * Compute(*mean).loss);
  EXPECT_EQ(Scaled(sum->gradient(), 0.125), mean->gradient());
}

TEST_P(OptionsTest, SmoothingIsWhatSmoothedTargetsGive) {
  const auto smoothed = Make();
  smoothed->segment.options.label_smoothing = 0.25;
  const auto soft = Make();
  std::vector<double> targets(kCount);
  for (uint64_t i = 0; i < kCount; ++i) {
    targets[i] = 0.75 * ElementAt(soft->segment.targets, i) + 0.125;
  }
  soft->SetTargets(GetParam(), targets);
  EXPECT_EQ(Difference(Compute(*smoothed), Compute(*soft)), "");
}

// With t = 1 and a large logit the wrong weight is all there is: the loss is
// e/2 times the logit, and a rounded 1 - e/2 has few digits of e.
TEST_P(OptionsTest, SmallSmoothingKeepsDigitsAndSymmetry) {
  const double epsilon =
      GetParam() == ElementType::kFloat32 ? 0x1p-23 : 0x1p-52;
  std::vector<double> logits, mirrored;
  for (double x = -60; x <= 60; x += 0.37) {
    logits.push_back(static_cast<float>(x));
    mirrored.push_back(-logits.back());
  }
  for (const double smoothing : {0.3, 0.01, 1e-3, 1e-5}) {
    OwnedSegment one(GetParam(), {logits.size()});
    OwnedSegment zero(GetParam(), {logits.size()});
    one.SetLogits(logits);
    zero.SetLogits(mirrored);
    for (OwnedSegment* owned : {&one, &zero}) {
      owned->SetTargets(GetParam(), std::vector<double>(logits.size(),
                                                        owned == &one ? 1 : 0));
      owned->segment.options.reduction = Reduction::kNone;
      owned->segment.options.label_smoothing = smoothing;
      owned->WantLosses();
      Compute(*owned);
    }
    EXPECT_EQ(one.losses(), zero.losses()) << smoothing;
    EXPECT_EQ(one.gradient(), Scaled(zero.gradient(), -1)) << smoothing;
    const std::vector<double> losses = one.losses();
    const auto exact = reference::Compute(one.segment).losses;
    for (size_t i = 0; i < losses.size(); ++i) {
      EXPECT_NEAR(losses[i] / static_cast<double>(exact[i]), 1, 3 * epsilon)
          << logits[i] << " " << smoothing;
    }
  }
}

TEST_P(OptionsTest, AnInfinitePositiveWeightIsInfiniteForPositivesAlone) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> logits = {-30, -2, -0.5, 0.5, 2, 5};
  for (const double target : {0.0, 1.0}) {
    OwnedSegment weighted(GetParam(), {logits.size()});
    OwnedSegment plain(GetParam(), {logits.size()});
    for (OwnedSegment* owned : {&weighted, &plain}) {
      owned->SetLogits(logits);
      owned->SetTargets(GetParam(), std::vector<double>(logits.size(), target));
      owned->segment.options.reduction = Reduction::kNone;
      owned->WantLosses();
    }
    weighted.SetPosWeight({infinity}, {0}, GetParam());
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      weighted.Compute(set);
      plain.Compute(set);
      if (target == 0) {
        EXPECT_EQ(weighted.losses(), plain.losses()) << set.name;
        EXPECT_EQ(weighted.gradient(), plain.gradient()) << set.name;
      } else {
        const std::vector<double> all(logits.size(), infinity);
        EXPECT_EQ(weighted.losses(), all) << set.name;
        EXPECT_EQ(weighted.gradient(), Scaled(all, -1)) << set.name;
      }
    }
  }
}

TEST_P(OptionsTest, IgnoredElementsAreAsIfTheyWereNotThere) {
  const auto all = Make();
  std::vector<double> logits, targets, kept_logits, kept_targets;
  for (uint64_t i = 0; i < 100; ++i) {
    logits.push_back(ElementAt(all->segment.logits, i));
    targets.push_back(i % 3 == 0 ? 0.5 : i % 2);
    if (i % 3 == 0) continue;
    kept_logits.push_back(logits.back());
    kept_targets.push_back(targets.back());
  }
  OwnedSegment some(GetParam(), {100});
  some.SetLogits(logits);
  some.SetTargets(GetParam(), targets);
  some.segment.options.ignore_target = 0.5;
  some.segment.options.normalizer = Normalizer::kValid;
  OwnedSegment kept(GetParam(), {kept_logits.size()});
  kept.SetLogits(kept_logits);
  kept.SetTargets(GetParam(), kept_targets);
  const SegmentAnswer answer = Compute(some);
  EXPECT_EQ(answer.totals.valid_count, 66u);
  EXPECT_EQ(answer.normalizer, 66);
  // The lanes and the order of the sum are other ones, so the bits may differ.
  EXPECT_NEAR(answer.loss, Compute(kept).loss, 1e-14);
  std::vector<double> gradient;
  for (uint64_t i = 0; i < 100; ++i) {
    if (i % 3 == 0) {
      EXPECT_EQ(some.gradient()[i], 0) << i;
    } else {
      gradient.push_back(some.gradient()[i]);
    }
  }
  EXPECT_EQ(gradient, kept.gradient());
}

TEST_P(OptionsTest, TargetsOutOfRangeFollowTheFormulaWhereTheyAreAllowed) {
  for (const double target : {-1.0, 2.0, 3.5}) {
    OwnedSegment owned(GetParam(), {4});
    const std::vector<double> logits = {-9, -0.3, 0.8, 4};
    owned.SetLogits(logits);
    owned.SetTargets(GetParam(), std::vector<double>(4, target));
    owned.segment.options.reduction = Reduction::kNone;
    owned.segment.options.targets_in_unit_interval = false;
    owned.WantLosses();
    EXPECT_EQ(Compute(owned).totals.first_bad_target, kNoIndex);
    for (size_t i = 0; i < logits.size(); ++i) {
      const double x = ElementAt(owned.segment.logits, i);
      const auto exact = reference::SigmoidCrossEntropy(x, target, 1, 1);
      EXPECT_NEAR(owned.losses()[i], static_cast<double>(exact.loss), 4e-6);
      EXPECT_NEAR(owned.gradient()[i], static_cast<double>(exact.derivative),
                  1e-6);
    }
  }
}

TEST_P(OptionsTest, EveryNormalizerDividesByItsCount) {
  const struct {
    Normalizer normalizer;
    double expected;
  } cases[] = {{Normalizer::kElements, 6},     {Normalizer::kValid, 5},
               {Normalizer::kBatch, 2},        {Normalizer::kNonzeroWeights, 4},
               {Normalizer::kWeightSum, 4.75}, {Normalizer::kCaller, 0.5}};
  for (const auto& c : cases) {
    OwnedSegment owned(GetParam(), {2, 3});
    owned.SetLogits({1, 2, 3, -4, 5, -6});
    owned.SetTargets(GetParam(), {0, 1, 0.5, 1, 0, 1});
    owned.SetWeights({2, 0, 8, 1.5, 0.25, 1}, {3, 1});
    owned.segment.options.ignore_target = 0.5;
    owned.segment.options.normalizer = c.normalizer;
    owned.segment.options.normalizer_value = 0.5;
    EXPECT_EQ(Compute(owned).normalizer, c.expected);
  }
}

}  // namespace
}  // namespace lossd::kernels
