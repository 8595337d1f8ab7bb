// Every float8 logit.
#ifndef LOSSD_TESTS_JUDGE_FLOAT8S_H_
#define LOSSD_TESTS_JUDGE_FLOAT8S_H_

#include <cstdint>

#include "kernels/cpu/cpu_kernel.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::judge {

// Float8Value() returns the value of a pattern by the format's definition.
// NearestFloat8() returns the value of the format that is nearest to `value`,
// ties to even. Beyond the largest it returns NaN for float8_e4m3fn and
// infinity for float8_e5m2.
double Float8Value(kernels::ElementType type, uint8_t bits);
double NearestFloat8(kernels::ElementType type, double value);

struct Float8Findings {
  uint64_t results = 0;
  // Results that are not the float32 kernel's results, rounded correctly.
  uint64_t different = 0;
};

// Computes every logit of both formats for the targets 0 and 1, as bytes and as
// bits: losses in the logit's format and gradients in either format, in a
// segment so short that it is computed and in one that is looked up.
Float8Findings CheckFloat8s(const kernels::cpu::InstructionSet& set);

}  // namespace lossd::judge

#endif  // LOSSD_TESTS_JUDGE_FLOAT8S_H_
