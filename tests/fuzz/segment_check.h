// What must hold of every segment that validation lets through.
#ifndef LOSSD_TESTS_FUZZ_SEGMENT_CHECK_H_
#define LOSSD_TESTS_FUZZ_SEGMENT_CHECK_H_

#include "server/rpc/validation.h"

namespace lossd::fuzz {

// Fails where a tensor has other than the bytes that its elements take, or an
// operand or a one reaches beyond the elements.
void CheckBounds(const kernels::Segment& segment);

// Computes a segment of at most `max_elements` on the best and on the plainest
// instruction set, results in memory of exactly their size, and fails where the
// bits differ.
void CheckKernels(const rpc::ValidRequest& valid, uint64_t max_elements);

}  // namespace lossd::fuzz

#endif  // LOSSD_TESTS_FUZZ_SEGMENT_CHECK_H_
