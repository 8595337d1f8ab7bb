#include "server/request/broadcasting.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/request/format.h"

namespace lossd::request {
namespace {

// True if every operand reads dimension `k` as a continuation of the one before
// it, whose strides are in `outer`.
bool Continues(std::span<const Dims> strides, std::span<const uint64_t> outer,
               size_t k, uint64_t dim) {
  for (size_t i = 0; i < strides.size(); ++i) {
    if (outer[i] != strides[i][k] * dim) return false;
  }
  return true;
}

Dims DenseStrides(const Dims& dims) {
  Dims strides(dims.size());
  uint64_t stride = 1;
  for (size_t k = dims.size(); k-- > 0;) {
    strides[k] = dims[k] == 1 ? 0 : stride;
    stride *= dims[k];
  }
  return strides;
}

}  // namespace

absl::StatusOr<Dims> BroadcastStrides(wire::Field field, const Dims& dims,
                                      const Dims& logits_dims) {
  const auto refuse = [&] {
    return absl::InvalidArgumentError(absl::StrCat(
        Name(field), ".shape: ", ShapeText(dims),
        " does not broadcast to the logits' shape ", ShapeText(logits_dims)));
  };
  if (dims.size() > logits_dims.size()) return refuse();
  const size_t lead = logits_dims.size() - dims.size();
  for (size_t k = 0; k < dims.size(); ++k) {
    if (dims[k] != 1 && dims[k] != logits_dims[lead + k]) return refuse();
  }
  Dims strides(lead, 0);
  const Dims own = DenseStrides(dims);
  strides.insert(strides.end(), own.begin(), own.end());
  return strides;
}

absl::StatusOr<FoldedShape> FoldShape(const Dims& dims,
                                      std::span<const Dims> strides) {
  FoldedShape folded;
  int& rank = folded.shape.rank;
  // The strides of the last folded dimension, one for each operand.
  std::array<uint64_t, kMaxOperands> outer{};
  for (size_t k = 0; k < dims.size(); ++k) {
    if (k > 0 && dims[k] == 1) continue;
    if (rank > 1 && Continues(strides, outer, k, dims[k])) {
      folded.shape.dims[static_cast<size_t>(rank - 1)] *= dims[k];
    } else if (rank < kernels::kMaxRank) {
      folded.shape.dims[static_cast<size_t>(rank++)] = dims[k];
    } else {
      return absl::InvalidArgumentError(absl::StrCat(
          "logits.shape: ", ShapeText(dims),
          " with the operands that are broadcast to it needs more than ",
          kernels::kMaxRank, " dimensions"));
    }
    for (size_t i = 0; i < strides.size(); ++i) {
      outer[i] = strides[i][k];
      folded.strides[i][static_cast<size_t>(rank - 1)] = outer[i];
    }
  }
  return folded;
}

}  // namespace lossd::request
