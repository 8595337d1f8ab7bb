#include "kernels/cpu/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/kernels/owned_segment.h"
#include "tests/kernels/random_segment.h"

namespace lossd::kernels::cpu {
namespace {

bool IsPositive(const Segment& segment, uint64_t index) {
  const double target = TargetAt(segment, index);
  const bool good = segment.options.targets_in_unit_interval
                        ? target >= 0 && target <= 1
                        : std::isfinite(static_cast<float>(target));
  return good && static_cast<float>(target) >= 0.5F;
}

// Returns the sample that the header promises, an element at a time.
Sample PlainSample(const OwnedSegment& owned) {
  const Segment& segment = owned.segment;
  const std::vector<double> gradient =
      segment.gradient == nullptr ? std::vector<double>() : owned.gradient();
  Sample sample;
  for (uint64_t block = 0; block < BlockCount(segment); ++block) {
    const uint64_t first = block * kBlockElements;
    const uint64_t n = std::min(kBlockElements, segment.element_count - first);
    const SampledRuns runs(block, n);
    double squares = 0;
    for (const SampledRun& run : runs) {
      for (uint64_t i = first + run.begin; i < first + run.end; ++i) {
        if (!gradient.empty()) {
          const double square = gradient[i] * gradient[i];
          std::isfinite(square) ? squares += square
                                : static_cast<double>(++sample.bad_gradients);
        }
        if (IsIgnored(segment, i)) continue;
        ++sample.elements;
        if (IsPositive(segment, i)) ++sample.positives;
        const auto logit = static_cast<float>(ElementAt(segment.logits, i));
        if (std::fabs(logit) > 15) ++sample.saturated;
      }
    }
    sample.gradient_squares +=
        squares * static_cast<double>(n) / static_cast<double>(runs.elements());
  }
  return sample;
}

void ExpectEqual(const Sample& a, const Sample& b) {
  EXPECT_EQ(a.elements, b.elements);
  EXPECT_EQ(a.positives, b.positives);
  EXPECT_EQ(a.saturated, b.saturated);
  EXPECT_EQ(a.bad_gradients, b.bad_gradients);
  EXPECT_NEAR(a.gradient_squares, b.gradient_squares,
              1e-12 * std::fabs(b.gradient_squares));
}

Sample Sampled(const Segment& segment) {
  return Sampler(segment).SampleBlocks(0, BlockCount(segment));
}

TEST(Sampler, AgreesWithThePlainSampleOfAnySegment) {
  uint64_t positives = 0;
  uint64_t saturated = 0;
  uint64_t ignored = 0;
  for (unsigned seed = 0; seed < 600; ++seed) {
    SCOPED_TRACE(seed);
    const auto owned = RandomSegment(seed);
    const Totals totals = owned->Compute(BestInstructionSet()).totals;
    const Sample sample = Sampled(owned->segment);
    Sample plain = PlainSample(*owned);
    if (totals.first_bad_target != kNoIndex) plain.positives = sample.positives;
    ExpectEqual(sample, plain);
    positives += sample.positives;
    saturated += sample.saturated;
    ignored += owned->segment.options.ignore_target ? 1 : 0;
  }
  EXPECT_GT(positives, 500u);
  EXPECT_GT(saturated, 500u);
  EXPECT_GT(ignored, 10u);
}

TEST(Sampler, DoesNotDependOnTheCallsThatTakeItsBlocks) {
  OwnedSegment owned(ElementType::kFloat32, {5 * kBlockElements + 77});
  std::vector<double> values;
  std::mt19937 random(1);
  std::normal_distribution<double> logit(0, 12);
  for (uint64_t i = 0; i < owned.segment.element_count; ++i) {
    values.push_back(logit(random));
  }
  owned.SetLogits(values);
  for (double& value : values) value = value > 9 ? 1 : 0;
  owned.SetTargets(ElementType::kUint8, values);
  owned.CutPieces(random);
  owned.Compute(BestInstructionSet());
  const Sample whole = Sampled(owned.segment);
  for (const uint64_t step : {1, 2, 4}) {
    Sample sum;
    for (uint64_t first = 0; first < BlockCount(owned.segment); first += step) {
      const uint64_t count =
          std::min<uint64_t>(step, BlockCount(owned.segment) - first);
      sum.Add(Sampler(owned.segment).SampleBlocks(first, count));
    }
    ExpectEqual(sum, whole);
  }
  EXPECT_GT(whole.positives, 0u);
}

TEST(Sampler, SamplesTheWindowsOfATensorAsTheWhole) {
  OwnedSegment whole(ElementType::kFloat32, {4 * kBlockElements});
  OwnedSegment window(ElementType::kFloat32, {2 * kBlockElements});
  std::vector<double> values;
  std::mt19937 random(5);
  for (uint64_t i = 0; i < whole.segment.element_count; ++i) {
    values.push_back(static_cast<double>(random() % 40) - 20);
  }
  const auto half = static_cast<ptrdiff_t>(window.segment.element_count);
  const std::vector<double> zeros(values.size(), 0);
  whole.SetLogits(values);
  whole.SetTargets(ElementType::kUint8, zeros);
  window.SetLogits({values.begin() + half, values.end()});
  window.SetTargets(ElementType::kUint8, {zeros.begin() + half, zeros.end()});
  whole.Compute(BestInstructionSet());
  window.Compute(BestInstructionSet());
  EXPECT_EQ(Sampler(window.segment, 2).SampleBlocks(0, 2).saturated,
            Sampler(whole.segment).SampleBlocks(2, 2).saturated);
}

TEST(Sampler, TakesAllElementsOfASmallSegment) {
  OwnedSegment owned(ElementType::kFloat32, {4});
  owned.SetLogits({16, -15.5, 15, std::numeric_limits<double>::infinity()});
  owned.SetTargets(ElementType::kFloat32, {1, 0.5, 0.25, 0});
  owned.Compute(BestInstructionSet());
  const Sample sample = Sampled(owned.segment);
  EXPECT_EQ(sample.elements, 4u);
  EXPECT_EQ(sample.positives, 2u);
  EXPECT_EQ(sample.saturated, 3u);
  double squares = 0;
  for (const double g : owned.gradient()) squares += g * g;
  EXPECT_DOUBLE_EQ(sample.gradient_squares, squares);
}

TEST(Sampler, EstimatesTheNormOfALargeGradient) {
  constexpr uint64_t kElements = uint64_t{1} << 20;
  OwnedSegment owned(ElementType::kFloat32, {kElements});
  std::vector<double> values(kElements);
  std::mt19937 random(7);
  std::normal_distribution<double> logit(0, 2);
  for (double& value : values) value = logit(random);
  owned.SetLogits(values);
  owned.SetTargets(ElementType::kUint8, std::vector<double>(kElements, 0));
  owned.Compute(BestInstructionSet());
  double squares = 0;
  for (const double g : owned.gradient()) squares += g * g;
  EXPECT_NEAR(Sampled(owned.segment).gradient_squares, squares, 0.04 * squares);
}

TEST(Sampler, LeavesOutGradientsThatAreNotFinite) {
  OwnedSegment owned(ElementType::kFloat32, {3});
  owned.SetLogits({1, std::numeric_limits<double>::quiet_NaN(), -1});
  owned.SetTargets(ElementType::kFloat32, {1, 1, 1});
  owned.Compute(BestInstructionSet());
  const Sample sample = Sampled(owned.segment);
  EXPECT_EQ(sample.bad_gradients, 1u);
  const std::vector<double> g = owned.gradient();
  EXPECT_DOUBLE_EQ(sample.gradient_squares, g[0] * g[0] + g[2] * g[2]);
}

TEST(Sampler, HasNoGradientOfARequestWithoutOne) {
  OwnedSegment owned(ElementType::kFloat32, {3});
  owned.SetLogits({1, 2, -1});
  owned.SetTargets(ElementType::kFloat32, {1, 1, 0});
  owned.segment.gradient = nullptr;
  owned.Compute(BestInstructionSet());
  EXPECT_EQ(Sampled(owned.segment).gradient_squares, 0);
  EXPECT_EQ(Sampled(owned.segment).positives, 2u);
}

}  // namespace
}  // namespace lossd::kernels::cpu
