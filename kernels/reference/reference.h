// The judge: the obvious loop in long double, with the C library's functions.
//
// It shares no arithmetic with element.h. Slow and plain on purpose; for tests.
#ifndef LOSSD_KERNELS_REFERENCE_REFERENCE_H_
#define LOSSD_KERNELS_REFERENCE_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::reference {

// What an element's formulas read. t is smoothed already, and so is its
// complement, by itself: long double, too, has few digits of a small 1 - t left
// once t is rounded.
struct ElementInputs {
  long double x;
  long double t;
  long double complement;
  long double q = 1;  // the positive weight
};

// Loss and derivative of one element.
struct Element {
  long double loss;
  long double derivative;
};
Element SigmoidCrossEntropy(const ElementInputs& in);
Element SigmoidFocal(const ElementInputs& in, const LossParameters& loss);
Element Asymmetric(const ElementInputs& in, const LossParameters& loss);

// The loss that `options` choose, times element weight w. A NaN logit has NaNs.
Element ElementOf(const LossOptions& options, const ElementInputs& in,
                  long double w = 1);

// The cross-entropy of t with its exact complement.
Element SigmoidCrossEntropy(long double x, long double t, long double q,
                            long double w);

// What a whole segment should answer, unrounded.
struct Answer {
  long double loss = 0;  // 0 with Reduction::kNone
  long double normalizer = 1;
  uint64_t valid_count = 0;
  uint64_t nan_count = 0;
  std::vector<long double> losses;    // per element, times loss_weight
  std::vector<long double> gradient;  // per element
};

// Reads `segment` with ElementAt(); writes nothing to its gradient or losses.
// The segment has no NaN logit that is rejected and no target out of range.
Answer Compute(const Segment& segment);

}  // namespace lossd::kernels::reference

#endif  // LOSSD_KERNELS_REFERENCE_REFERENCE_H_
