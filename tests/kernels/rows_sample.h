// Tensors of rows with everything that a row's divisor depends on.
#ifndef LOSSD_TESTS_KERNELS_ROWS_SAMPLE_H_
#define LOSSD_TESTS_KERNELS_ROWS_SAMPLE_H_

#include <cstdint>
#include <random>
#include <vector>

#include "kernels/reference/reference.h"
#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {

// Row lengths around the sizes of lanes and blocks.
inline constexpr uint64_t kLengths[] = {1,    2,    7,    8,    64,
                                        1000, 2047, 2048, 2049, 5000};

// `count` rows of `length` elements. Every third row is ignored whole if the
// options ignore 2.
struct Rows {
  Rows(uint64_t rows, uint64_t length, const LossOptions& options,
       bool with_weights, unsigned seed)
      : owned(ElementType::kFloat64, {rows, length}), weighted(with_weights) {
    std::mt19937 random(seed);
    std::normal_distribution<double> logit(0, 3);
    for (uint64_t i = 0; i < rows * length; ++i) {
      logits.push_back(logit(random));
      // One row in three is ignored whole.
      const bool ignored = i / length % 3 == 1 || random() % 4 == 0;
      targets.push_back(ignored ? 2 : random() % 2);
      weights.push_back(random() % 3 == 0 ? 0 : 0.25 * (1 + random() % 5));
    }
    if (!options.ignore_target) {
      for (double& t : targets) t = t == 2 ? 0.5 : t;
    }
    for (uint64_t r = 0; r < rows; ++r) {
      upstream.push_back(0.5 * static_cast<double>(r % 4));
    }
    owned.segment.options = options;
    owned.SetLogits(logits);
    owned.SetTargets(ElementType::kFloat64, targets);
    if (weighted) owned.SetWeights(weights, {length, 1}, ElementType::kFloat64);
    if (options.reduction == Reduction::kRows) {
      owned.SetUpstream(upstream, {1, 0}, ElementType::kFloat64);
    }
  }

  // Returns the reference of one row, as a request of its own.
  reference::Answer Alone(uint64_t row) const {
    const uint64_t length = owned.segment.shape.dims[1];
    const auto part = [&](const std::vector<double>& all) {
      const auto from = all.begin() + static_cast<ptrdiff_t>(row * length);
      return std::vector<double>(from, from + static_cast<ptrdiff_t>(length));
    };
    OwnedSegment alone(ElementType::kFloat64, {length});
    alone.segment.options = owned.segment.options;
    alone.segment.options.reduction = Reduction::kMean;
    if (alone.segment.options.normalizer == Normalizer::kBatch) {
      alone.segment.options.reduction = Reduction::kSum;
    }
    alone.SetLogits(part(logits));
    alone.SetTargets(ElementType::kFloat64, part(targets));
    if (weighted) {
      alone.SetWeights(part(weights), {1}, ElementType::kFloat64);
    }
    return reference::Compute(alone.segment);
  }

  OwnedSegment owned;
  const bool weighted;
  std::vector<double> logits, targets, weights, upstream;
};

// Returns options with each normalizer, with and without an ignored target.
inline std::vector<LossOptions> EveryDivisor(Reduction reduction) {
  std::vector<LossOptions> all;
  for (int normalizer = 0; normalizer < 6; ++normalizer) {
    for (const bool ignores : {false, true}) {
      LossOptions options;
      options.reduction = reduction;
      options.normalizer = static_cast<Normalizer>(normalizer);
      options.normalizer_value = 7.5;
      options.loss_weight = 1.5;
      if (ignores) options.ignore_target = 2;
      all.push_back(options);
    }
  }
  return all;
}

}  // namespace lossd::kernels

#endif  // LOSSD_TESTS_KERNELS_ROWS_SAMPLE_H_
