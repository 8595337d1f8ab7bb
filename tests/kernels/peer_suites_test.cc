// The checks of other systems' suites over many random elements, against
// formulas written here in float64.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {
namespace {

// Returns max(x, 0) - x t + log(1 + e^-x), the form of most of them.
double NaiveLoss(double x, double t) {
  return std::max(x, 0.0) - x * t + std::log1p(std::exp(-std::fabs(x)));
}

double NaiveSigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Returns the loss with a positive weight: (1 - t) x + (1 + (q - 1) t) log(1 +
// e^-x).
double NaiveWeightedLoss(double x, double t, double q) {
  return (1 - t) * x + (1 + (q - 1) * t) * std::log1p(std::exp(-x));
}

struct Data {
  std::vector<double> logits, targets;
};

Data RandomData(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> logit(0, 2);
  std::uniform_real_distribution<float> target;
  Data data;
  for (size_t i = 0; i < count; ++i) {
    data.logits.push_back(logit(random));
    data.targets.push_back(target(random));
  }
  return data;
}

std::unique_ptr<OwnedSegment> Make(ElementType type, std::vector<uint64_t> dims,
                                   const Data& data) {
  auto owned = std::make_unique<OwnedSegment>(type, std::move(dims));
  owned->SetLogits(data.logits);
  owned->SetTargets(type, data.targets);
  return owned;
}

SegmentAnswer Compute(OwnedSegment& owned) {
  return owned.Compute(cpu::BestInstructionSet());
}

// The article's layer sums, although its text says otherwise.
TEST(PeerSuites, TheLayerInPythonSumsAndReturnsSigmoidMinusTarget) {
  const Data data = RandomData(500, 3);
  const auto owned = Make(ElementType::kFloat64, {20, 25}, data);
  owned->segment.options.reduction = Reduction::kSum;
  double sum = 0;
  for (size_t i = 0; i < data.logits.size(); ++i) {
    sum += NaiveLoss(data.logits[i], data.targets[i]);
  }
  EXPECT_NEAR(Compute(*owned).loss, sum, 1e-12 * sum);
  const std::vector<double> gradient = owned->gradient();
  for (size_t i = 0; i < gradient.size(); ++i) {
    EXPECT_NEAR(gradient[i], NaiveSigmoid(data.logits[i]) - data.targets[i],
                1e-15);
  }
}

TEST(PeerSuites, CaffeIgnoresTheFirstHalf) {
  Data data = RandomData(50, 1701);
  std::fill_n(data.targets.begin(), 25, -1);
  const auto owned = Make(ElementType::kFloat32, {10, 5, 1, 1}, data);
  owned->segment.options.ignore_target = -1;
  owned->segment.options.normalizer = Normalizer::kBatch;
  EXPECT_EQ(Compute(*owned).totals.valid_count, 25u);
  const std::vector<double> gradient = owned->gradient();
  for (size_t i = 0; i < gradient.size(); ++i) {
    EXPECT_EQ(gradient[i] == 0, i < 25) << i;
  }
}

// Central differences of the kernel's own float64 loss, with Caffe's step.
TEST(PeerSuites, CaffeGradientIsTheSlopeOfTheKernelsOwnLoss) {
  const Data data = RandomData(50, 1702);
  const auto owned = Make(ElementType::kFloat64, {10, 5, 1, 1}, data);
  owned->segment.options.normalizer = Normalizer::kBatch;
  owned->segment.options.loss_weight = 3.7;
  Compute(*owned);
  const std::vector<double> gradient = owned->gradient();
  for (size_t i = 0; i < gradient.size(); ++i) {
    std::vector<double> moved = data.logits;
    moved[i] += 1e-2;
    owned->SetLogits(moved);
    const double above = Compute(*owned).loss;
    moved[i] -= 2e-2;
    owned->SetLogits(moved);
    EXPECT_NEAR((above - Compute(*owned).loss) / 2e-2, gradient[i], 1e-5) << i;
  }
}

enum class PaddleTargets { kHard, kSoft, kWithIgnored };

TEST(PeerSuites, PaddleDividesByTheValidCountWithAndWithoutPositiveWeight) {
  for (const PaddleTargets kind : {PaddleTargets::kHard, PaddleTargets::kSoft,
                                   PaddleTargets::kWithIgnored}) {
    for (const bool weighted : {false, true}) {
      Data data = RandomData(64 * 20, 11);
      std::mt19937 random(12);
      for (double& t : data.targets) {
        if (kind == PaddleTargets::kHard) t = random() % 2;
        if (kind == PaddleTargets::kWithIgnored)
          t = static_cast<int>(random() % 3) - 1;
      }
      std::vector<double> q(20, 1);
      for (size_t k = 0; weighted && k < q.size(); ++k) q[k] = 0.1 * (k + 1);
      const auto owned = Make(ElementType::kFloat64, {64, 20}, data);
      owned->segment.options.ignore_target = -1;
      owned->segment.options.normalizer = Normalizer::kValid;
      if (weighted) owned->SetPosWeight(q, {0, 1}, ElementType::kFloat64);
      double sum = 0;
      std::vector<double> slopes;
      for (size_t i = 0; i < data.logits.size(); ++i) {
        const double x = data.logits[i], t = data.targets[i], w = q[i % 20];
        slopes.push_back(
            t == -1 ? 0 : (1 - t) * NaiveSigmoid(x) - w * t * NaiveSigmoid(-x));
        if (t != -1) sum += NaiveWeightedLoss(x, t, w);
      }
      const SegmentAnswer answer = Compute(*owned);
      const auto valid = static_cast<double>(
          64 * 20 - std::count(data.targets.begin(), data.targets.end(), -1));
      EXPECT_EQ(answer.normalizer, valid);
      EXPECT_NEAR(answer.loss, sum / valid, 1e-13);
      const std::vector<double> gradient = owned->gradient();
      for (size_t i = 0; i < slopes.size(); ++i) {
        EXPECT_NEAR(gradient[i], slopes[i] / valid, 1e-17) << i;
      }
    }
  }
}

TEST(PeerSuites, PyTorchWeightsOfEachShapeEqualTheirExpandedForm) {
  const Data data = RandomData(64, 21);
  const struct {
    std::vector<double> values;
    std::vector<uint64_t> strides;
  } cases[] = {{{0.5, 2, 0, 1.25}, {0, 1}},           // (4)
               {RandomData(16, 22).targets, {1, 0}},  // (16, 1)
               {{0.75}, {0, 0}}};
  for (const auto& c : cases) {
    for (const bool positive : {false, true}) {
      std::vector<double> expanded;
      for (size_t i = 0; i < 64; ++i) {
        expanded.push_back(
            c.values[i / 4 * c.strides[0] + i % 4 * c.strides[1]]);
      }
      const auto narrow = Make(ElementType::kFloat32, {16, 4}, data);
      const auto wide = Make(ElementType::kFloat32, {16, 4}, data);
      const auto set =
          positive ? &OwnedSegment::SetPosWeight : &OwnedSegment::SetWeights;
      (*narrow.*set)(c.values, c.strides, ElementType::kFloat32);
      (*wide.*set)(expanded, {4, 1}, ElementType::kFloat32);
      EXPECT_EQ(Difference(Compute(*narrow), Compute(*wide)), "");
    }
  }
}

TEST(PeerSuites, AllWeightsZeroIsZeroWithEveryNormalizer) {
  for (int k = 0; k < 6; ++k) {
    const auto owned = Make(ElementType::kFloat32, {4}, RandomData(4, 31));
    owned->segment.options.normalizer = static_cast<Normalizer>(k);
    owned->SetWeights({0}, {0});
    EXPECT_EQ(Compute(*owned).loss, 0) << k;
    EXPECT_EQ(owned->gradient(), std::vector<double>(4)) << k;
  }
}

}  // namespace
}  // namespace lossd::kernels
