// Lines of logits through the production kernel, by its public face.
#ifndef LOSSD_TESTS_JUDGE_KERNEL_RUN_H_
#define LOSSD_TESTS_JUDGE_KERNEL_RUN_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "tests/judge/line.h"

namespace lossd::exhaustive {

// A segment and its memory, used again for every line of the same size.
class KernelRun {
 public:
  explicit KernelRun(size_t size);

  // Loss and gradient of each logit, by the loop that writes losses. Copies
  // them into `results`. `t` is 0 or 1.
  void Compute(const kernels::cpu::InstructionSet& set,
               std::span<const float> logits, int t, Results& results);

  // True if every other way to the same numbers gives the same bits: the loop
  // that writes no losses, with float and with byte targets, with and without a
  // gradient. `results` are of Compute() for the same arguments.
  bool OtherPathsAgree(const kernels::cpu::InstructionSet& set, int t,
                       const Results& results);

  // NaN logits that the last computation counted.
  uint64_t nan_count() const;

 private:
  struct alignas(64) CacheLine {
    float values[16];
  };
  // Computes the segment as it stands; the bits of its loss sums.
  std::vector<uint64_t> SumsOf(const kernels::cpu::InstructionSet& set);

  size_t size_;
  std::vector<float> float_targets_[2];
  std::vector<uint8_t> byte_targets_[2];
  std::vector<CacheLine> gradient_;
  std::vector<CacheLine> losses_;
  std::vector<kernels::BlockPartial> partials_;
  std::vector<uint64_t> sums_;  // of the last Compute()
  kernels::Piece logits_piece_;
  kernels::Piece targets_piece_;
  kernels::Segment segment_;
};

}  // namespace lossd::exhaustive

#endif  // LOSSD_TESTS_JUDGE_KERNEL_RUN_H_
