// Broadcasts shapes as NumPy does, and folds them to the ranks that kernels
// read.
#ifndef LOSSD_SERVER_REQUEST_BROADCASTING_H_
#define LOSSD_SERVER_REQUEST_BROADCASTING_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "kernels/sigmoid_loss.h"
#include "server/request/tensor.h"

namespace lossd::request {

// Returns the strides with which a dense tensor of `dims`, aligned to the
// right, is read through `logits_dims`: one for each dimension of the logits, 0
// where the tensor is repeated. Errors: INVALID_ARGUMENT, naming both shapes,
// if it does not broadcast.
absl::StatusOr<Dims> BroadcastStrides(wire::Field field, const Dims& dims,
                                      const Dims& logits_dims);

// Weights, pos_weight and upstream_gradient.
inline constexpr size_t kMaxOperands = 3;

// A shape of few dimensions, and the strides with which operands are read
// through it.
struct FoldedShape {
  kernels::Shape shape;
  // One entry for each operand; see kernels::Operand::strides.
  std::array<std::array<uint64_t, kernels::kMaxRank>, kMaxOperands> strides{};
};

// Merges neighbouring dimensions of `dims` that every operand reads as one, and
// drops those of size 1. `strides` has one entry for each of at most
// kMaxOperands operands, as BroadcastStrides() returns it. The first dimension
// is never merged, because NORMALIZER_BATCH divides by it and rows are its
// indices. Errors:
// INVALID_ARGUMENT if more than kernels::kMaxRank dimensions remain.
absl::StatusOr<FoldedShape> FoldShape(const Dims& dims,
                                      std::span<const Dims> strides);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_BROADCASTING_H_
