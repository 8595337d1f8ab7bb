// Runs the production kernel over lines of logits, through its public face.
#ifndef LOSSD_TESTS_JUDGE_KERNEL_RUN_H_
#define LOSSD_TESTS_JUDGE_KERNEL_RUN_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "tests/judge/judge.h"

namespace lossd::judge {

// A segment with its memory, reused for every line of the same size. Not
// thread-safe.
class KernelRun {
 public:
  explicit KernelRun(size_t size);

  // Computes loss and derivatives of each logit by the loop that writes losses,
  // and copies them into `results`. `t` is 0 or 1.
  void Compute(const kernels::cpu::InstructionSet& set,
               std::span<const float> logits, int t, Results& results);

  // Returns true if every other path gives the bits of `results`, which are
  // Compute()'s for the same arguments. The other paths are the loop that
  // writes no losses, with float and with byte targets, with both derivatives,
  // the gradient alone, and none.
  bool OtherPathsAgree(const kernels::cpu::InstructionSet& set, int t,
                       const Results& results);

  // Returns the NaN logits that the last computation counted.
  uint64_t nan_count() const;

 private:
  struct alignas(64) CacheLine {
    float values[16];
  };
  // Computes the segment as it is set up now; returns the bits of its loss
  // sums.
  std::vector<uint64_t> SumsOf(const kernels::cpu::InstructionSet& set);

  size_t size_;
  std::vector<float> float_targets_[2];
  std::vector<uint8_t> byte_targets_[2];
  std::vector<CacheLine> gradient_;
  std::vector<CacheLine> second_;
  std::vector<CacheLine> losses_;
  std::vector<kernels::BlockPartial> partials_;
  std::vector<uint64_t> sums_;  // from the last Compute()
  kernels::Piece logits_piece_;
  kernels::Piece targets_piece_;
  kernels::Segment segment_;
};

}  // namespace lossd::judge

#endif  // LOSSD_TESTS_JUDGE_KERNEL_RUN_H_
