// The reference implementation that the kernels are tested against: the obvious
// loop in long double, with the C library's functions. It is slow and simple on
// purpose, and shares no arithmetic with kernels/element (D15).
#ifndef LOSSD_KERNELS_REFERENCE_REFERENCE_H_
#define LOSSD_KERNELS_REFERENCE_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::reference {

// The inputs of an element's formulas. t is smoothed already, and the
// complement is smoothed by itself: even long double has few digits of a small
// 1 - t left once t is rounded.
struct ElementInputs {
  long double x;
  long double t;
  long double complement;
  long double q = 1;  // the positive weight
};

// Loss and derivatives of one element.
struct Element {
  long double loss = 0;
  long double derivative = 0;
  long double second = 0;
};

// Returns loss and derivatives of the chosen loss times element weight w. For a
// NaN logit all are NaN.
Element ElementOf(const LossOptions& options, const ElementInputs& in,
                  long double w = 1);

// Returns the cross-entropy times element weight w, with 1 - t as the
// complement.
Element SigmoidCrossEntropy(long double x, long double t, long double q,
                            long double w);

// The unrounded answer to a whole segment.
struct Answer {
  long double loss = 0;  // 0 with Reduction::kNone and kRows
  long double normalizer = 1;
  uint64_t valid_count = 0;
  uint64_t nan_count = 0;
  uint64_t first_operand_fault = kNoIndex;     // as in Totals
  std::vector<long double> losses;             // per element, times loss_weight
  std::vector<long double> row_losses;         // with rows (HasRows())
  std::vector<long double> gradient;           // per element
  std::vector<long double> second_derivative;  // per element
};

// Returns the answer to `segment`; writes nothing to its gradient or losses.
// The segment has no NaN logit that is rejected and no target out of range.
Answer Compute(const Segment& segment);

}  // namespace lossd::kernels::reference

#endif  // LOSSD_KERNELS_REFERENCE_REFERENCE_H_
