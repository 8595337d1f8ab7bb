// Random segments.
#ifndef LOSSD_TESTS_KERNELS_RANDOM_SEGMENT_H_
#define LOSSD_TESTS_KERNELS_RANDOM_SEGMENT_H_

#include <memory>

#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {

// Returns a request of any kind: sizes around the block, shapes, types, targets
// by their ones, options, broadcasting, infinite and NaN logits, ignored and
// bad targets, operands with values that are refused. A seed always gives the
// same segment.
std::unique_ptr<OwnedSegment> RandomSegment(unsigned seed);

}  // namespace lossd::kernels

#endif  // LOSSD_TESTS_KERNELS_RANDOM_SEGMENT_H_
