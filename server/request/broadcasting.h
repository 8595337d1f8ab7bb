// Shapes: broadcasting as NumPy does it, and folding to the ranks that kernels
// read.
#ifndef LOSSD_SERVER_REQUEST_BROADCASTING_H_
#define LOSSD_SERVER_REQUEST_BROADCASTING_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/sigmoid_loss.h"
#include "server/request/tensor.h"

namespace lossd::request {

// The strides with which `dims`, aligned to the right, is read through
// `logits_dims`; one per dimension of the logits, 0 where it is repeated.
// INVALID_ARGUMENT, naming both shapes, if it does not broadcast.
absl::StatusOr<Dims> BroadcastStrides(wire::Field field, const Dims& dims,
                                      const Dims& logits_dims);

// The strides of a dense tensor.
Dims DenseStrides(const Dims& dims);

// An operand's strides before folding, and where the folded ones go.
struct FoldedOperand {
  Dims strides;
  kernels::Operand* operand;
};

// Merges neighbouring dimensions that every operand reads as one, and drops
// those of size 1. The first dimension stays itself: NORMALIZER_BATCH divides
// by it. INVALID_ARGUMENT if more than kernels::kMaxRank dimensions remain.
absl::Status FoldShape(const Dims& dims, std::span<FoldedOperand> operands,
                       kernels::Shape* shape);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_BROADCASTING_H_
