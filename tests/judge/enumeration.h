// All float32 logits, or an even part of them, for targets 0 and 1.
#ifndef LOSSD_TESTS_JUDGE_ENUMERATION_H_
#define LOSSD_TESTS_JUDGE_ENUMERATION_H_

#include <cstdint>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "tests/judge/judge.h"

namespace lossd::exhaustive {

struct EnumerationOptions {
  // 1: every logit. n: runs of 64 neighbours, one of every n runs, which one
  // being drawn by `seed`.
  uint64_t stride = 1;
  uint32_t seed = 1;
  int threads = 2;
  // The first one is judged; the others must give its bits.
  std::vector<kernels::cpu::InstructionSet> instruction_sets;
  bool peers = true;  // judge the frameworks' forms as well
};

struct Enumeration {
  FormTally kernel;
  FormTally pytorch;
  FormTally caffe;
  // Lines of logits on which another loop, or another instruction set, gave
  // other bits.
  Violations paths;
  Violations instruction_sets;

  void Merge(const Enumeration& other);
};

// Says on stderr how far it is.
Enumeration Enumerate(const EnumerationOptions& options);

}  // namespace lossd::exhaustive

#endif  // LOSSD_TESTS_JUDGE_ENUMERATION_H_
