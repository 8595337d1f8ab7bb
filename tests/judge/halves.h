// Every bfloat16 and float16 logit.
#ifndef LOSSD_TESTS_JUDGE_HALVES_H_
#define LOSSD_TESTS_JUDGE_HALVES_H_

#include <cstdint>

#include "kernels/cpu/cpu_kernel.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::judge {

// HalfValue() returns the value of a 16-bit pattern by the format's definition.
// NearestHalf() returns the value of the format that is nearest to `value`,
// ties to even, and infinity beyond the largest.
double HalfValue(kernels::ElementType type, uint16_t bits);
double NearestHalf(kernels::ElementType type, double value);

struct HalfFindings {
  uint64_t results = 0;
  // Results that are not the float32 kernel's results, rounded correctly.
  uint64_t different = 0;
};

// Computes every logit of both formats for the targets 0 and 1: losses in the
// logit's format and gradients in either format, by the loop that writes losses
// and by the one that does not.
HalfFindings CheckHalves(const kernels::cpu::InstructionSet& set);

}  // namespace lossd::judge

#endif  // LOSSD_TESTS_JUDGE_HALVES_H_
