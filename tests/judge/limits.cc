#include "tests/judge/limits.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/judge/kernel_run.h"

namespace lossd::exhaustive {
namespace {

using kernels::cpu::InstructionSet;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr uint32_t kNans = 0x7fffff;  // of each sign
constexpr uint32_t kLine = 1 << 16;

void CheckInfinities(const InstructionSet& set, std::string& broken) {
  const std::vector<float> logits = {-kInfinity, kInfinity};
  const float losses[2][2] = {{0, kInfinity}, {kInfinity, 0}};
  const float gradients[2][2] = {{0, 1}, {-1, 0}};
  KernelRun run(logits.size());
  Results results;
  for (const int t : {0, 1}) {
    run.Compute(set, logits, t, results);
    const bool agree = run.OtherPathsAgree(set, t, results);
    for (size_t i = 0; i < logits.size(); ++i) {
      if (agree && results.losses[i] == losses[t][i] &&
          results.gradient[i] == gradients[t][i])
        continue;
      absl::StrAppendFormat(&broken, "%s: loss %g and gradient %g at %g, %d\n",
                            set.name, results.losses[i], results.gradient[i],
                            logits[i], t);
    }
  }
}

uint64_t CheckNans(const InstructionSet& set, uint64_t stride,
                   std::string& broken) {
  KernelRun run(kLine);
  Results results;
  std::vector<float> logits(kLine);
  uint64_t tried = 0;
  for (uint64_t first = 1; first <= kNans; first += kLine * stride) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      for (uint32_t i = 0; i < kLine; ++i) {
        // The last line repeats the first NaN.
        const uint64_t payload = first + i <= kNans ? first + i : 1;
        logits[i] = std::bit_cast<float>(sign | 0x7f800000 |
                                         static_cast<uint32_t>(payload));
      }
      for (const int t : {0, 1}) {
        run.Compute(set, logits, t, results);
        bool all = run.OtherPathsAgree(set, t, results);
        for (uint32_t i = 0; i < kLine; ++i) {
          all &=
              std::isnan(results.losses[i]) && std::isnan(results.gradient[i]);
        }
        if (!all || run.nan_count() != kLine) {
          absl::StrAppendFormat(&broken, "%s: NaNs from %#x on, t = %d\n",
                                set.name, sign | 0x7f800000 | first, t);
        }
      }
      tried += std::min<uint64_t>(kLine, kNans + 1 - first);
    }
  }
  return tried;
}

}  // namespace

LimitFindings CheckLimits(std::span<const InstructionSet> instruction_sets,
                          uint64_t stride) {
  LimitFindings findings;
  for (const InstructionSet& set : instruction_sets) {
    CheckInfinities(set, findings.broken);
    findings.nans = CheckNans(set, stride, findings.broken);
  }
  return findings;
}

}  // namespace lossd::exhaustive
