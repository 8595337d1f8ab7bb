// The judge of the references: the same values by MPFR, in 256 bits.
#ifndef LOSSD_TESTS_EXHAUSTIVE_MPFR_JUDGE_H_
#define LOSSD_TESTS_EXHAUSTIVE_MPFR_JUDGE_H_

#include <cmath>

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

// w [t q sp(-x) + complement sp(x)] and w [complement s(x) - t q s(-x)] with
// sp(x) = log(1 + e^x), s(x) = 1 / (1 + e^-x), straight from their definitions.
// `x` is finite.
struct ElementInputs {
  long double x;
  long double t;
  long double complement;
  long double q = 1;
  long double w = 1;
};
WideElement MpfrCrossEntropy(const ElementInputs& in);

}  // namespace lossd::exhaustive

#endif  // LOSSD_TESTS_EXHAUSTIVE_MPFR_JUDGE_H_
