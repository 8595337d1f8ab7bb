// What must hold of every segment that validation lets through.
#ifndef LOSSD_TESTS_FUZZ_SEGMENT_CHECK_H_
#define LOSSD_TESTS_FUZZ_SEGMENT_CHECK_H_

#include <cstdint>

#include "kernels/sigmoid_loss.h"

namespace lossd::fuzz {

// Fails where a tensor has other than the bytes that its elements take, or an
// operand or a one reaches beyond the elements.
void CheckBounds(const kernels::Segment& segment);

// Computes a segment on the best and on the plainest instruction set, results
// in memory of exactly their size, and fails where the bits differ.
void CheckKernels(const kernels::Segment& segment, uint64_t gradient_bytes,
                  uint64_t losses_bytes);

}  // namespace lossd::fuzz

#endif  // LOSSD_TESTS_FUZZ_SEGMENT_CHECK_H_
