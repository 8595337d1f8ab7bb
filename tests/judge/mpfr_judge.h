// The judge of the references: the same values by MPFR, in 256 bits.
#ifndef LOSSD_TESTS_JUDGE_MPFR_JUDGE_H_
#define LOSSD_TESTS_JUDGE_MPFR_JUDGE_H_

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/sigmoid_loss.h"

namespace lossd::judge {

// A number of about 128 bits, as a rounded value and its remainder.
struct Wide {
  long double high;
  long double low;

  // Returns |value - this|. A NaN is infinitely far away, on either side.
  long double DistanceOf(long double value) const {
    const long double distance = std::fabs((value - high) - low);
    return distance == distance ? distance
                                : std::numeric_limits<long double>::infinity();
  }
};

struct WideElement {
  Wide loss;
  Wide derivative;
  Wide second;
};

// One element as a request has it. The functions below smooth its target.
struct ElementInputs {
  long double x;  // finite
  long double t;
  long double q = 1;
  long double w = 1;
  long double smoothing = 0;
};

// Returns w [t' q sp(-x) + (1 - t') sp(x)], w [(1 - t') s(x) - t' q s(-x)] and
// w [t' q + 1 - t'] s(x) s(-x) by their definitions: t' = t (1 - smoothing) +
// smoothing / 2, sp(x) = log(1 + e^x), s(x) = 1 / (1 + e^-x).
WideElement MpfrCrossEntropy(const ElementInputs& in);

// The two functions below return w times the loss and w times its derivative.
// With p = s(x) and p_t = t' p + (1 - t') (1 - p) the losses are
//   focal        alpha_t (1 - p_t)^gamma cross-entropy
//   asymmetric   t' q (1 - p)^g+ (-log p) + (1 - t') p_m^g- (-log(1 - p_m)),
//                p_m = max(p - margin, 0)
// e^-|x| must be within MPFR's range. Second derivatives come from differences
// of losses.
WideElement MpfrFocal(const ElementInputs& in,
                      const kernels::LossParameters& loss);
WideElement MpfrAsymmetric(const ElementInputs& in,
                           const kernels::LossParameters& loss);

// Returns w times the loss of a kind and w times its derivatives, all by
// differences of the loss, which is written as its paper defines it:
//   poly           focal + epsilon (1 - p_t)^(gamma + 1)
//   quality focal  |t' - p|^gamma cross-entropy
//   varifocal      t' > 0: t' cross-entropy, else alpha p^gamma sp(x)
WideElement MpfrOfKind(kernels::LossKind kind, const ElementInputs& in,
                       const kernels::LossParameters& loss);

// The largest distances between ExactAt() and MPFR's values, in units of the
// last place of float32 (ulp.h).
struct ReferenceErrors {
  uint64_t logits = 0;
  double loss = 0;
  double gradient = 0;
  double second = 0;
};

// The largest error, in those units, that the verdicts may have.
inline constexpr double kReferenceBound = 0x1p-27;

// Compares ExactAt() with MPFR at `samples` drawn bit patterns of either sign,
// and at the neighbours of powers of two and of the places where a formula, a
// digit or a result ends.
ReferenceErrors ProveReference(uint64_t samples, uint32_t seed);

}  // namespace lossd::judge

#endif  // LOSSD_TESTS_JUDGE_MPFR_JUDGE_H_
