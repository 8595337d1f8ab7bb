// Logits that are no numbers to be a distance from: infinities and NaNs.
#ifndef LOSSD_TESTS_JUDGE_LIMITS_H_
#define LOSSD_TESTS_JUDGE_LIMITS_H_

#include <cstdint>
#include <span>
#include <string>

#include "kernels/cpu/cpu_kernel.h"

namespace lossd::exhaustive {

struct LimitFindings {
  uint64_t nans = 0;  // NaN bit patterns that were tried
  // Infinite logits whose loss or gradient is not the mathematical limit, and
  // NaNs that gave a number or were not counted; a line each.
  std::string broken;
};

// Both infinities and every NaN bit pattern (of their lines of 2^16, one in
// `stride`), for the targets 0 and 1, by every loop of each instruction set.
LimitFindings CheckLimits(
    std::span<const kernels::cpu::InstructionSet> instruction_sets,
    uint64_t stride);

}  // namespace lossd::exhaustive

#endif  // LOSSD_TESTS_JUDGE_LIMITS_H_
