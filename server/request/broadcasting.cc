#include "server/request/broadcasting.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/request/format.h"

namespace lossd::request {
namespace {

// Whether every operand reads dimension `k` as a continuation of the one before
// it, whose strides are in `outer`.
bool Continues(std::span<const FoldedOperand> operands,
               std::span<const uint64_t> outer, size_t k, uint64_t dim) {
  for (size_t i = 0; i < operands.size(); ++i) {
    if (outer[i] != operands[i].strides[k] * dim) return false;
  }
  return true;
}

}  // namespace

Dims DenseStrides(const Dims& dims) {
  Dims strides(dims.size());
  uint64_t stride = 1;
  for (size_t k = dims.size(); k-- > 0;) {
    strides[k] = dims[k] == 1 ? 0 : stride;
    stride *= dims[k];
  }
  return strides;
}

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

absl::Status FoldShape(const Dims& dims, std::span<FoldedOperand> operands,
                       kernels::Shape* shape) {
  Dims folded;
  // Strides of the last folded dimension, one per operand.
  absl::InlinedVector<uint64_t, 3> outer(operands.size());
  for (size_t k = 0; k < dims.size(); ++k) {
    if (k > 0 && dims[k] == 1) continue;
    const bool merge =
        folded.size() > 1 && Continues(operands, outer, k, dims[k]);
    if (merge) {
      folded.back() *= dims[k];
    } else {
      folded.push_back(dims[k]);
    }
    if (folded.size() > kernels::kMaxRank) {
      return absl::InvalidArgumentError(absl::StrCat(
          "logits.shape: ", ShapeText(dims),
          " with the operands that are broadcast to it needs more than ",
          kernels::kMaxRank, " dimensions"));
    }
    for (size_t i = 0; i < operands.size(); ++i) {
      outer[i] = operands[i].strides[k];
      operands[i].operand->strides[folded.size() - 1] = outer[i];
    }
  }
  shape->rank = static_cast<int>(folded.size());
  std::copy(folded.begin(), folded.end(), shape->dims.begin());
  return absl::OkStatus();
}

}  // namespace lossd::request
