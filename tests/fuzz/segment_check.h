// Checks the segments that validation lets through.
#ifndef LOSSD_TESTS_FUZZ_SEGMENT_CHECK_H_
#define LOSSD_TESTS_FUZZ_SEGMENT_CHECK_H_

#include <cstdint>

#include "kernels/sigmoid_loss.h"

namespace lossd::fuzz {

// Fails if a tensor has more or fewer bytes than its elements take, or if an
// operand or a one reaches beyond the elements.
void CheckBounds(const kernels::Segment& segment);

// Computes the segment on the best and on the plainest instruction set, with
// results in memory of exactly their size. Fails if the bits differ.
void CheckKernels(const kernels::Segment& segment, uint64_t gradient_bytes,
                  uint64_t losses_bytes);

}  // namespace lossd::fuzz

#endif  // LOSSD_TESTS_FUZZ_SEGMENT_CHECK_H_
