// Losses of rows: their sums, and their gradients.
#ifndef LOSSD_TESTS_JUDGE_ROW_SUMS_H_
#define LOSSD_TESTS_JUDGE_ROW_SUMS_H_

#include <cstdint>

#include "kernels/cpu/cpu_kernel.h"

namespace lossd::judge {

struct RowFindings {
  uint64_t rows = 0;
  // The largest distance of a row's sum from the sum of the same losses in long
  // double, in units of 2^-53 of it.
  double max_ulps = 0;
  // Derivatives of rows that are not those of single elements.
  uint64_t different = 0;
};

// Rows of at most 2^17 elements may be off by so many units.
inline constexpr double kRowBound = 8;

// Computes rows of every length from 1 to 2^17 in powers of 2, and of one more
// and one less, of both types in which losses are computed: `elements` for each
// length and type.
RowFindings CheckRows(const kernels::cpu::InstructionSet& set,
                      uint64_t elements, uint32_t seed);

}  // namespace lossd::judge

#endif  // LOSSD_TESTS_JUDGE_ROW_SUMS_H_
