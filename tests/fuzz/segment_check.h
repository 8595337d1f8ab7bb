// Checks the segments that validation lets through.
#ifndef LOSSD_TESTS_FUZZ_SEGMENT_CHECK_H_
#define LOSSD_TESTS_FUZZ_SEGMENT_CHECK_H_

#include <cstdint>

#include "kernels/sigmoid_loss.h"

namespace lossd::fuzz {

// Fails if a tensor has more or fewer bytes than its elements take, or if an
// operand or a one reaches beyond the elements.
void CheckBounds(const kernels::Segment& segment);

// The sizes of a segment's results, 0 for those that are not wanted.
struct ResultBytes {
  uint64_t gradient = 0;
  uint64_t second_derivative = 0;
  uint64_t losses = 0;
};

// Computes the segment on the best and on the plainest instruction set, with
// results in memory of exactly their size. Fails if the bits differ.
void CheckKernels(const kernels::Segment& segment, const ResultBytes& bytes);

}  // namespace lossd::fuzz

#endif  // LOSSD_TESTS_FUZZ_SEGMENT_CHECK_H_
