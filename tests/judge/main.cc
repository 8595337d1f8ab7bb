// exhaustive: the proof of the kernel's accuracy. It judges every float32 logit
// for the targets 0 and 1 in units of the last place. The exit code is 1 if a
// bound is broken, 2 if a flag makes no sense.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "kernels/cpu/cpu_kernel.h"
#include "tests/judge/enumeration.h"
#include "tests/judge/report.h"

ABSL_FLAG(int, threads, 0, "Threads; 0: one per core");
ABSL_FLAG(uint64_t, stride, 1, "One of how many runs of 64 logits is judged");
ABSL_FLAG(uint32_t, seed, 1, "Which ones, with a stride above 1");
ABSL_FLAG(std::string, instruction_sets, "best",
          "best, all, or the name of one");
ABSL_FLAG(uint64_t, reference_samples, 1 << 18,
          "Drawn logits at which the reference is held against MPFR");
ABSL_FLAG(uint64_t, samples, 1 << 20, "Drawn elements of each family");
ABSL_FLAG(std::string, json, "", "File that the findings are written to");
ABSL_FLAG(bool, peers, true, "Judge PyTorch's and Caffe's forms too");

namespace {

using lossd::kernels::cpu::InstructionSet;

// Returns the sets of that name: none if it is unknown.
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

// Returns the command line as it was typed, without the program's folder.
std::string Command(int argc, char** argv) {
  std::string command = "exhaustive";
  for (int i = 1; i < argc; ++i) command += std::string(" ") + argv[i];
  return command;
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Judges the kernel over all float32 logits: exhaustive [FLAG...]");
  absl::ParseCommandLine(argc, argv);
  lossd::judge::EnumerationOptions options;
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
  const std::string json_path = absl::GetFlag(FLAGS_json);
  lossd::judge::Report report;
  report.command = Command(argc, argv);
  report.options = options;
  report.reference = lossd::judge::ProveReference(
      absl::GetFlag(FLAGS_reference_samples), options.seed);
  report.limits =
      lossd::judge::CheckLimits(options.instruction_sets, options.stride);
  report.enumeration = lossd::judge::Enumerate(options);
  report.families =
      lossd::judge::JudgeFamilies(options.instruction_sets.front(),
                                  absl::GetFlag(FLAGS_samples), options.seed);
  report.halves = lossd::judge::CheckHalves(options.instruction_sets.front());
  report.float8s = lossd::judge::CheckFloat8s(options.instruction_sets.front());
  report.rows =
      lossd::judge::CheckRows(options.instruction_sets.front(),
                              absl::GetFlag(FLAGS_samples), options.seed);
  std::fputs(lossd::judge::Markdown(report).c_str(), stdout);
  if (!json_path.empty()) {
    std::ofstream(json_path) << lossd::judge::Json(report);
  }
  const std::string broken = lossd::judge::Broken(report);
  if (!broken.empty()) std::printf("\nBroken:\n%s", broken.c_str());
  return broken.empty() ? 0 : 1;
}
