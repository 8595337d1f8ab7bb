// The judge of the references: the same values by MPFR, in 256 bits.
#ifndef LOSSD_TESTS_JUDGE_MPFR_JUDGE_H_
#define LOSSD_TESTS_JUDGE_MPFR_JUDGE_H_

#include <cmath>

#include "kernels/sigmoid_loss.h"

namespace lossd::exhaustive {

// A number of about 128 bits, as a rounded value and the rest.
struct Wide {
  long double high;
  long double low;

  // |value - this|.
  long double DistanceOf(long double value) const {
    return std::fabs((value - high) - low);
  }
};

struct WideElement {
  Wide loss;
  Wide derivative;
};

// One element as a request has it; the target is smoothed here.
struct ElementInputs {
  long double x;  // finite
  long double t;
  long double q = 1;
  long double w = 1;
  long double smoothing = 0;
};

// w [t' q sp(-x) + (1 - t') sp(x)] and w [(1 - t') s(x) - t' q s(-x)] with
// t' = t (1 - smoothing) + smoothing / 2, sp(x) = log(1 + e^x),
// s(x) = 1 / (1 + e^-x): from the definitions.
WideElement MpfrCrossEntropy(const ElementInputs& in);

// The other losses of the family, likewise: with p = s(x) and
// p_t = t' p + (1 - t') (1 - p),
//   focal        alpha_t (1 - p_t)^gamma cross-entropy
//   asymmetric   t' q (1 - p)^g+ (-log p) + (1 - t') p_m^g- (-log(1 - p_m)),
//                p_m = max(p - margin, 0)
// For logits of which e^-|x| is in MPFR's range.
WideElement MpfrFocal(const ElementInputs& in,
                      const kernels::LossParameters& loss);
WideElement MpfrAsymmetric(const ElementInputs& in,
                           const kernels::LossParameters& loss);

}  // namespace lossd::exhaustive

#endif  // LOSSD_TESTS_JUDGE_MPFR_JUDGE_H_
