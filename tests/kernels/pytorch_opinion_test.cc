// PyTorch in float64 as a second opinion, at logits where its formulas are
// right. pytorch_opinion.py printed its digits once, so no test needs PyTorch.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {
namespace {

struct Opinion {
  double x, t, q, alpha, gamma;
  double loss, gradient;              // with positive weight q
  double focal_loss, focal_gradient;  // with alpha and gamma
};

constexpr Opinion kOpinions[] = {
#include "tests/kernels/pytorch_opinion.inc"
};

// 1 - p loses digits where p is near 1: up to e^12 of them, in units of the
// largest term.
constexpr double kCrossEntropyTolerance = 4e-16;
constexpr double kFocalTolerance = 1e-14;

void Compare(OwnedSegment& owned, double loss, double gradient,
             double tolerance) {
  owned.segment.options.reduction = Reduction::kSum;
  const double scale = tolerance * (std::fabs(loss) + 5);
  for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
    EXPECT_NEAR(owned.Compute(set).loss, loss, scale);
    EXPECT_NEAR(owned.gradient().at(0), gradient, scale);
  }
}

TEST(PyTorchOpinion, AgreesAboutTheCrossEntropyWithAPositiveWeight) {
  for (const Opinion& opinion : kOpinions) {
    OwnedSegment owned(ElementType::kFloat64, {1});
    owned.SetLogits({opinion.x});
    owned.SetTargets(ElementType::kFloat64, {opinion.t});
    owned.SetPosWeight({opinion.q}, {0}, ElementType::kFloat64);
    Compare(owned, opinion.loss, opinion.gradient, kCrossEntropyTolerance);
  }
}

TEST(PyTorchOpinion, AgreesAboutTheFocalLoss) {
  for (const Opinion& opinion : kOpinions) {
    OwnedSegment owned(ElementType::kFloat64, {1});
    owned.SetLogits({opinion.x});
    owned.SetTargets(ElementType::kFloat64, {opinion.t});
    owned.segment.options.kind = LossKind::kSigmoidFocal;
    owned.segment.options.focal_alpha = opinion.alpha;
    owned.segment.options.focal_gamma = opinion.gamma;
    Compare(owned, opinion.focal_loss, opinion.focal_gradient, kFocalTolerance);
  }
}

}  // namespace
}  // namespace lossd::kernels
