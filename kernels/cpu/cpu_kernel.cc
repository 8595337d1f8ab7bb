#include "kernels/cpu/cpu_kernel.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "element_type/half.h"
#include "kernels/cpu/scalar_ops.h"
#include "kernels/cpu/staging.h"
#include "kernels/cpu/vector_kernel.h"
#include "kernels/element/polynomials.h"

namespace lossd::kernels::cpu {
namespace scalar {

// clang-format off
#define LOSSD_ELEMENT_FN inline
#include "kernels/element/element-inl.h"
#include "kernels/cpu/exact-inl.h"
#include "kernels/cpu/table-inl.h"
#include "kernels/cpu/early_part-inl.h"
#include "kernels/cpu/fast-inl.h"
// clang-format on

void ComputeBlocks(const Segment& segment, double gradient_scale,
                   uint64_t first_block, std::span<BlockPartial> partials) {
  if (segment.logits.type == ElementType::kFloat64) {
    ComputeBlocksOf<ScalarOps<double>, ScalarOps<double>>(
        segment, gradient_scale, first_block, partials);
  } else if (IsFloat8(segment.logits.type)) {
    ComputeFloat8Blocks<ScalarOps<float>>(segment, gradient_scale, first_block,
                                          partials);
  } else {
    ComputeBlocksOf<ScalarOps<float>, ScalarOps<float>>(segment, gradient_scale,
                                                        first_block, partials);
  }
}

}  // namespace scalar

namespace {

template <class T>
void Count(const Segment& segment, uint64_t first_block,
           std::span<BlockPartial> partials) {
  StagedBlock<T> staged;
  Stager<T> stager(segment);
  for (uint64_t k = 0; k < partials.size(); ++k) {
    partials[k] = BlockPartial();
    stager.Stage(first_block + k, /*all=*/false, staged, partials[k]);
  }
}

std::vector<InstructionSet> AllInstructionSets() {
  std::vector<InstructionSet> sets = VectorInstructionSets();
  sets.push_back({"SCALAR", &CountBlocks, &scalar::ComputeBlocks});
  return sets;
}

}  // namespace

void CountBlocks(const Segment& segment, uint64_t first_block,
                 std::span<BlockPartial> partials) {
  // Weights are counted in the logits' type, as they are computed in it: a
  // float64 weight may round to 0.
  if (segment.logits.type == ElementType::kFloat64) {
    Count<double>(segment, first_block, partials);
  } else {
    Count<float>(segment, first_block, partials);
  }
}

std::span<const InstructionSet> InstructionSets() {
  static const std::vector<InstructionSet> sets = AllInstructionSets();
  return sets;
}

const InstructionSet& BestInstructionSet() { return InstructionSets().front(); }

}  // namespace lossd::kernels::cpu
