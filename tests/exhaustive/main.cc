// exhaustive: the proof of the kernel's accuracy. Every float32 logit for the
// targets 0 and 1, judged in units of the last place. Exit code 1 if a bound is
// broken, 2 if a flag makes no sense.
#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "kernels/cpu/cpu_kernel.h"
#include "tests/exhaustive/enumeration.h"
#include "tests/exhaustive/report.h"

ABSL_FLAG(int, threads, 0, "Threads; 0: one per core");
ABSL_FLAG(uint64_t, stride, 1, "One of how many runs of 64 logits is judged");
ABSL_FLAG(uint32_t, seed, 1, "Which ones, with a stride above 1");
ABSL_FLAG(std::string, instruction_sets, "best",
          "best, all, or the name of one");
ABSL_FLAG(bool, peers, true, "Judge PyTorch's and Caffe's forms too");

namespace {

using lossd::kernels::cpu::InstructionSet;

// Empty if there is none of that name.
std::vector<InstructionSet> ChosenInstructionSets(const std::string& name) {
  std::vector<InstructionSet> chosen;
  for (const auto& set : lossd::kernels::cpu::InstructionSets()) {
    const bool best = name == "best" && chosen.empty();
    if (best || name == "all" || name == set.name) chosen.push_back(set);
  }
  return chosen;
}

int Threads() {
  const int wanted = absl::GetFlag(FLAGS_threads);
  return wanted > 0
             ? wanted
             : std::max(1,
                        static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Judges the kernel over all float32 logits: exhaustive [FLAG...]");
  absl::ParseCommandLine(argc, argv);
  lossd::exhaustive::EnumerationOptions options;
  options.stride = absl::GetFlag(FLAGS_stride);
  options.seed = absl::GetFlag(FLAGS_seed);
  options.threads = Threads();
  options.peers = absl::GetFlag(FLAGS_peers);
  options.instruction_sets =
      ChosenInstructionSets(absl::GetFlag(FLAGS_instruction_sets));
  if (options.instruction_sets.empty() || options.stride == 0 ||
      options.stride > (1u << 16)) {
    std::fprintf(stderr, "exhaustive: bad --instruction_sets or --stride\n");
    return 2;
  }
  const auto found = lossd::exhaustive::Enumerate(options);
  std::printf("%s", lossd::exhaustive::Markdown(found).c_str());
  const std::string broken = lossd::exhaustive::Broken(found);
  if (!broken.empty()) std::printf("\nBroken:\n%s", broken.c_str());
  return broken.empty() ? 0 : 1;
}
