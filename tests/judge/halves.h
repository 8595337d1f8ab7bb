// bfloat16 and float16: every logit there is.
#ifndef LOSSD_TESTS_JUDGE_HALVES_H_
#define LOSSD_TESTS_JUDGE_HALVES_H_

#include <cstdint>

#include "kernels/cpu/cpu_kernel.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::exhaustive {

// A 16-bit format's value by its definition, and the value of the format that
// is nearest to `value` (ties to even, infinity beyond the largest).
double HalfValue(kernels::ElementType type, uint16_t bits);
double NearestHalf(kernels::ElementType type, double value);

struct HalfFindings {
  uint64_t results = 0;
  // Results that are not the float32 kernel's, rounded correctly.
  uint64_t different = 0;
};

// Every logit of both formats for the targets 0 and 1: losses in its format,
// gradients in either, by the loop that writes losses and by the one that does
// not.
HalfFindings CheckHalves(const kernels::cpu::InstructionSet& set);

}  // namespace lossd::exhaustive

#endif  // LOSSD_TESTS_JUDGE_HALVES_H_
