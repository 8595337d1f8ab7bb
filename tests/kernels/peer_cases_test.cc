// Numbers from other systems' tests of the same losses, and from their users'
// reports.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/reference/reference.h"
#include "tests/kernels/random_segment.h"

namespace lossd::kernels {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Case {
  ElementType type = ElementType::kFloat32;
  std::vector<uint64_t> dims;
  std::vector<double> logits, targets;
  LossOptions options;
};

std::unique_ptr<OwnedSegment> Make(const Case& c) {
  auto owned = std::make_unique<OwnedSegment>(
      c.type, c.dims.empty() ? std::vector<uint64_t>{c.logits.size()} : c.dims);
  owned->SetLogits(c.logits);
  owned->SetTargets(c.type, c.targets);
  owned->segment.options = c.options;
  if (c.options.reduction == Reduction::kNone) owned->WantLosses();
  return owned;
}

SegmentAnswer Compute(OwnedSegment& owned) {
  return owned.Compute(cpu::BestInstructionSet());
}

const Case kChainer = {.dims = {2, 3},
                       .logits = {-2, 3, 0.5, 5, 2, -0.5},
                       .targets = {0, 1, 0, 1, 1, -1},
                       .options = {.ignore_target = -1}};

TEST(PeerCases, ChainerDividesByValidOrByBatch) {
  Case c = kChainer;
  c.options.normalizer = Normalizer::kValid;
  EXPECT_NEAR(Compute(*Make(c)).loss, 0.25664714, 1e-7);
  c.options.normalizer = Normalizer::kBatch;
  EXPECT_NEAR(Compute(*Make(c)).loss, 0.64161783, 1e-7);
}

TEST(PeerCases, ChainerLeavesTheIgnoredElementOut) {
  Case c = kChainer;
  c.options.reduction = Reduction::kNone;
  const auto owned = Make(c);
  const SegmentAnswer answer = Compute(*owned);
  const std::vector<double> expected = {.126928,   .04858735, .974077,
                                        .00671535, .126928,   0};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(owned->losses()[i], expected[i], 1e-6);
  }
  EXPECT_EQ(owned->losses()[5], 0);
  EXPECT_EQ(owned->gradient()[5], 0);
  EXPECT_EQ(answer.totals.valid_count, 5u);
}

TEST(PeerCases, EverythingIgnoredIsZeroAndNotNan) {
  for (const Normalizer normalizer :
       {Normalizer::kElements, Normalizer::kValid, Normalizer::kBatch,
        Normalizer::kNonzeroWeights, Normalizer::kWeightSum}) {
    Case c = {.logits = {1, kInfinity},
              .targets = {-1, -1},
              .options = {.ignore_target = -1}};
    c.options.normalizer = normalizer;
    const auto owned = Make(c);
    EXPECT_EQ(Compute(*owned).loss, 0);
    EXPECT_EQ(owned->gradient(), (std::vector<double>{0, 0}));
  }
}

TEST(PeerCases, AllWeightsZeroIsZeroAndNotNan) {
  for (const Normalizer normalizer :
       {Normalizer::kNonzeroWeights, Normalizer::kWeightSum}) {
    const auto owned = Make({.logits = {1, kInfinity}, .targets = {0, 0}});
    owned->segment.options.normalizer = normalizer;
    owned->SetWeights({0}, {0});
    EXPECT_EQ(Compute(*owned).loss, 0);
    EXPECT_EQ(owned->gradient(), (std::vector<double>{0, 0}));
  }
}

TEST(PeerCases, PyTorchZeroLogitAndTargetHaveGradientOneHalf) {
  for (const bool weighted : {false, true}) {
    const auto owned = Make({.logits = {0},
                             .targets = {0},
                             .options = {.reduction = Reduction::kSum}});
    if (weighted) owned->SetPosWeight({1}, {0});
    Compute(*owned);
    EXPECT_EQ(owned->gradient()[0], 0.5);
  }
}

TEST(PeerCases, PyTorchLargeNegativeLogitIsFinite) {
  EXPECT_NEAR(Compute(*Make({.logits = {0, -120}, .targets = {0, 1}})).loss,
              (std::log(2.0) + 120) / 2, 1e-5);
}

TEST(PeerCases, PyTorchDocumentationMean) {
  const auto owned = Make({.dims = {10, 64},
                           .logits = std::vector<double>(640, 1.5),
                           .targets = std::vector<double>(640, 1)});
  owned->SetPosWeight(std::vector<double>(64, 1), {0, 1});
  EXPECT_NEAR(Compute(*owned).loss, 0.2014, 5e-5);
}

TEST(PeerCases, PyTorchFloat64TailIssues) {
  const LossOptions sum = {.reduction = Reduction::kSum};
  for (const auto& [x, t] : {std::pair(40.0, 1.0), std::pair(-40.0, 0.0)}) {
    const auto owned = Make({ElementType::kFloat64, {}, {x}, {t}, sum});
    EXPECT_EQ(Compute(*owned).loss, 4.248354255291589e-18);
  }
  for (const auto& [x, t, gradient] :
       {std::tuple(37.42994775023705, 1.0, -5.551115123125776e-17),
        std::tuple(-37.42994775023705, 0.0, 5.551115123125776e-17)}) {
    const auto owned = Make({ElementType::kFloat64, {}, {x}, {t}, sum});
    Compute(*owned);
    EXPECT_NEAR(owned->gradient()[0], gradient, 2e-32);
  }
}

TEST(PeerCases, TensorFlowElements) {
  const auto owned = Make({.logits = {-100, -2, -2, 0, 2, 2, 2, 100},
                           .targets = {0, 0, 1, 0, 0, 1, .5, 1},
                           .options = {.reduction = Reduction::kNone}});
  Compute(*owned);
  const std::vector<double> expected = {0,        .126928, 2.126928, .693147,
                                        2.126928, .126928, 1.126928, 0};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(owned->losses()[i], expected[i], 1e-6);
  }
  EXPECT_GT(owned->losses()[0], 0) << "e^-100 is a subnormal float32, not 0";
}

TEST(PeerCases, TensorFlowGradients) {
  const auto owned = Make({.logits = {0, 0},
                           .targets = {0, 1},
                           .options = {.reduction = Reduction::kSum}});
  Compute(*owned);
  EXPECT_EQ(owned->gradient(), (std::vector<double>{.5, -.5}));
}

TEST(PeerCases, PaddlePositiveWeightOnTheNegativeSide) {
  const auto owned = Make({.logits = {-14.913},
                           .targets = {1},
                           .options = {.reduction = Reduction::kSum}});
  owned->SetPosWeight({3}, {0});
  EXPECT_NEAR(Compute(*owned).loss, 44.739, 1e-3);
}

TEST(PeerCases, UsersInfiniteLogitsOnTheRightSideAreZero) {
  for (const ElementType type :
       {ElementType::kFloat32, ElementType::kFloat64}) {
    const auto owned = Make({type,
                             {},
                             {kInfinity, -kInfinity},
                             {1, 0},
                             {.reduction = Reduction::kSum}});
    EXPECT_EQ(Compute(*owned).loss, 0);
    EXPECT_EQ(owned->gradient(), (std::vector<double>{0, 0}));
  }
}

TEST(PeerCases, InfiniteLogitsOnTheWrongSideAreInfinite) {
  const auto owned = Make({.logits = {kInfinity, -kInfinity},
                           .targets = {0, 1},
                           .options = {.reduction = Reduction::kNone}});
  Compute(*owned);
  EXPECT_EQ(owned->losses(), (std::vector<double>{kInfinity, kInfinity}));
  EXPECT_EQ(owned->gradient(), (std::vector<double>{1, -1}));
}

// Caffe's test has blobs of 10 x 5 and loss weight 3.7, and divides by the
// batch.
TEST(PeerCases, CaffeAgreesWithTheNaiveFormula) {
  std::mt19937 random(1701);
  std::normal_distribution<float> logit;
  std::uniform_real_distribution<float> target;
  for (int trial = 0; trial < 100; ++trial) {
    Case c = {
        .dims = {10, 5},
        .options = {.normalizer = Normalizer::kBatch, .loss_weight = 3.7}};
    double naive = 0;
    for (int i = 0; i < 50; ++i) {
      c.logits.push_back(logit(random));
      c.targets.push_back(target(random));
      const double s = 1 / (1 + std::exp(-c.logits.back()));
      naive -= c.targets.back() * std::log(s) +
               (1 - c.targets.back()) * std::log(1 - s);
    }
    EXPECT_NEAR(Compute(*Make(c)).loss, 3.7 * naive / 10, 1e-5);
  }
}

// Finite differences of the reference, whose arithmetic is not the kernel's.
TEST(PeerCases, TheGradientIsTheSlopeOfTheLoss) {
  constexpr double kStep = 1e-4;
  for (unsigned seed = 0; seed < 300; ++seed) {
    const auto owned = RandomSegment(seed);
    Segment& s = owned->segment;
    const SegmentAnswer answer = Compute(*owned);
    if (s.gradient == nullptr || s.options.reduction == Reduction::kNone ||
        s.options.detaches_focus ||  // then it is not the slope
        answer.totals.nan_count > 0 ||
        answer.totals.first_bad_target != kNoIndex ||
        answer.totals.first_operand_fault != kNoIndex || s.element_count > 50) {
      continue;
    }
    std::vector<double> logits(s.element_count);
    for (size_t i = 0; i < logits.size(); ++i)
      logits[i] = ElementAt(s.logits, i);
    const std::vector<double> gradient = owned->gradient();
    for (size_t i = 0; i < logits.size(); ++i) {
      if (std::isinf(logits[i]) || std::fabs(logits[i]) > 30) continue;
      double ends[2];
      for (const int side : {0, 1}) {
        // Only one element's loss changes. It is compared alone, because the
        // others are much larger.
        auto moved = logits;
        moved[i] += side == 0 ? -kStep : kStep;
        const auto type = s.logits.type;
        s.logits.type = ElementType::kFloat64;
        owned->SetLogits(moved);
        ends[side] = static_cast<double>(reference::Compute(s).losses[i]);
        s.logits.type = type;
      }
      const double scale =
          answer.normalizer == 0 ? 0 : s.upstream_scalar / answer.normalizer;
      const double slope = (ends[1] - ends[0]) / (2 * kStep) * scale;
      EXPECT_NEAR(
          gradient[i], slope,
          1e-5 * (1 + std::fabs(slope)) + RoundingError(s.gradient_type, slope))
          << "seed " << seed;
    }
  }
}

TEST(PeerCases, BroadcastOperandsEqualExpandedOnes) {
  std::mt19937 random(3);
  std::normal_distribution<float> logit(0, 3);
  Case c = {.dims = {16, 4}};
  for (int i = 0; i < 64; ++i) {
    c.logits.push_back(logit(random));
    c.targets.push_back(random() % 2);
  }
  const std::vector<double> row = {0.5, 2, 0, 1.25};
  std::vector<double> column, from_row, from_column;
  for (int i = 0; i < 16; ++i) column.push_back(0.125 * i);
  for (int i = 0; i < 64; ++i) from_row.push_back(row[i % 4]);
  for (int i = 0; i < 64; ++i) from_column.push_back(column[i / 4]);
  const auto narrow = Make(c);
  narrow->SetWeights(column, {1, 0});
  narrow->SetPosWeight(row, {0, 1});
  const auto wide = Make(c);
  wide->SetWeights(from_column, {4, 1});
  wide->SetPosWeight(from_row, {4, 1});
  EXPECT_EQ(Difference(Compute(*narrow), Compute(*wide)), "");
}

TEST(PeerCases, WeightsOfOneEqualNoWeights) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    Case c;
    std::mt19937 random(seed);
    std::normal_distribution<float> logit(0, 9);
    for (int i = 0; i < 100; ++i) {
      c.logits.push_back(logit(random));
      c.targets.push_back(0.001 * (random() % 1001));
    }
    const auto none = Make(c);
    const auto ones = Make(c);
    ones->SetWeights({1}, {0});
    ones->SetPosWeight({1}, {0});
    EXPECT_EQ(Difference(Compute(*none), Compute(*ones)), "") << seed;
  }
}

}  // namespace
}  // namespace lossd::kernels
