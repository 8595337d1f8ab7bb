// The CPU backend: computes blocks of a segment on the calling thread.
#ifndef LOSSD_KERNELS_CPU_CPU_KERNEL_H_
#define LOSSD_KERNELS_CPU_CPU_KERNEL_H_

#include <span>
#include <string_view>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cpu {

// Computes the blocks first_block + k for every k < partials.size(): their
// losses, gradients and partials[k].
using BlocksFunction = void (*)(const Segment& segment, double gradient_scale,
                                uint64_t first_block,
                                std::span<BlockPartial> partials);

// Fills in only the counts and weight sums of the partials: for normalizers
// that NeedsCounts() announces. They do not depend on the instruction set.
void CountBlocks(const Segment& segment, uint64_t first_block,
                 std::span<BlockPartial> partials);

// An instruction set that this machine can run.
struct InstructionSet {
  std::string_view name;  // "AVX3_DL", "AVX3", "AVX2", "SCALAR"
  void (*count_blocks)(const Segment& segment, uint64_t first_block,
                       std::span<BlockPartial> partials);
  BlocksFunction compute_blocks;
};

// Returns all instruction sets that this machine can run, best first; SCALAR is
// always the last. All of them compute the same bits. Thread-safe.
std::span<const InstructionSet> InstructionSets();

// Returns the first of InstructionSets(). Thread-safe.
const InstructionSet& BestInstructionSet();

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_KERNELS_CPU_CPU_KERNEL_H_
