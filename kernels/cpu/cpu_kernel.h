// The CPU backend: blocks of a segment on the calling thread.
#ifndef LOSSD_KERNELS_CPU_CPU_KERNEL_H_
#define LOSSD_KERNELS_CPU_CPU_KERNEL_H_

#include <span>
#include <string_view>
#include <vector>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cpu {

// Losses, gradients and partials. partials[k] is of block first_block + k.
using BlocksFunction = void (*)(const Segment& segment, double gradient_scale,
                                uint64_t first_block,
                                std::span<BlockPartial> partials);

// Counts alone (valid, weights): for normalizers that NeedsCounts(). No
// instruction set changes what is counted.
void CountBlocks(const Segment& segment, uint64_t first_block,
                 std::span<BlockPartial> partials);

// An instruction set that this machine can run.
struct InstructionSet {
  std::string_view name;  // "AVX3_DL", "AVX3", "AVX2", "SCALAR"
  void (*count_blocks)(const Segment& segment, uint64_t first_block,
                       std::span<BlockPartial> partials);
  BlocksFunction compute_blocks;
};

// All that this machine can run, best first; SCALAR is always the last. Their
// results are the same bits. Thread-safe.
std::span<const InstructionSet> InstructionSets();

// The best one; decided once.
const InstructionSet& BestInstructionSet();

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_KERNELS_CPU_CPU_KERNEL_H_
