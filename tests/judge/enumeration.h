// All float32 logits, or an even part of them, for the targets 0 and 1.
#ifndef LOSSD_TESTS_JUDGE_ENUMERATION_H_
#define LOSSD_TESTS_JUDGE_ENUMERATION_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "tests/judge/judge.h"

namespace lossd::judge {

struct EnumerationOptions {
  // With 1 every logit is judged. With n it is one run of 64 neighbours out of
  // every n runs, drawn by `seed`.
  uint64_t stride = 1;
  uint32_t seed = 1;
  int threads = 2;
  // The first set is judged. The others must give its bits.
  std::vector<kernels::cpu::InstructionSet> instruction_sets;
  bool peers = true;  // the frameworks' forms are judged, too
};

struct Enumeration {
  FormTally kernel;
  FormTally pytorch;
  FormTally caffe;
  // Lines of logits on which another loop or another instruction set gave other
  // bits.
  Violations paths;
  Violations instruction_sets;

  void Merge(const Enumeration& other);
};

// Judges the logits that `options` choose. Reports progress on stderr.
Enumeration Enumerate(const EnumerationOptions& options);

struct LimitFindings {
  uint64_t nans = 0;  // NaN bit patterns that were tried
  // One line for each infinite logit whose loss or gradient is not the
  // mathematical limit, and for each line of NaNs of which one gave a number or
  // was not counted.
  std::string broken;
};

// Checks both infinities and every NaN bit pattern for the targets 0 and 1, in
// every loop of each instruction set. NaNs come in lines of 2^16 patterns, of
// which one in `stride` is checked.
LimitFindings CheckLimits(
    std::span<const kernels::cpu::InstructionSet> instruction_sets,
    uint64_t stride);

}  // namespace lossd::judge

#endif  // LOSSD_TESTS_JUDGE_ENUMERATION_H_
