#include "tests/judge/row_sums.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include "tests/kernels/owned_segment.h"
#include "tests/kernels/row_run.h"

namespace lossd::judge {
namespace {

using kernels::ElementType;
using kernels::OwnedSegment;
using kernels::cpu::InstructionSet;

constexpr uint64_t kLongest = uint64_t{1} << 17;

// Fills in logits and hard targets. A row's divisor is 1, so that its gradient
// is that of single elements.
void Fill(OwnedSegment& owned, std::mt19937& random) {
  std::normal_distribution<double> logit(0, 8);
  std::vector<double> logits(owned.segment.element_count);
  std::vector<double> targets(logits.size());
  for (double& x : logits) x = logit(random);
  for (double& t : targets) t = static_cast<double>(random() % 2);
  owned.SetLogits(logits);
  owned.SetTargets(ElementType::kUint8, targets);
  owned.WantSecondDerivative();
  owned.segment.options.normalizer = kernels::Normalizer::kBatch;
  owned.segment.options.reduction = kernels::Reduction::kRows;
}

double UlpsOff(double sum, const double* losses, uint64_t count) {
  long double exact = 0;
  for (uint64_t i = 0; i < count; ++i) exact += losses[i];
  if (exact == 0) return sum == 0 ? 0 : std::numeric_limits<double>::infinity();
  return static_cast<double>(std::fabs((sum - exact) / exact) * 0x1p53L);
}

void Check(const InstructionSet& set, ElementType type, uint64_t rows,
           uint64_t length, std::mt19937& random, RowFindings& findings) {
  OwnedSegment owned(type, {rows, length});
  Fill(owned, random);
  const kernels::RowAnswer answer = kernels::RowRun(owned).Compute(set);
  owned.segment.options.reduction = kernels::Reduction::kNone;
  owned.WantLosses();
  owned.Compute(set);
  const std::vector<double> losses = owned.losses();
  for (uint64_t r = 0; r < rows; ++r) {
    findings.max_ulps =
        std::max(findings.max_ulps,
                 UlpsOff(answer.losses[r], &losses[r * length], length));
  }
  const std::vector<double> gradient = owned.gradient();
  const std::vector<double> second = owned.second_derivative();
  for (size_t i = 0; i < gradient.size(); ++i) {
    if (answer.gradient[i] != gradient[i]) ++findings.different;
    if (answer.second[i] != second[i]) ++findings.different;
  }
  findings.rows += rows;
}

}  // namespace

RowFindings CheckRows(const InstructionSet& set, uint64_t elements,
                      uint32_t seed) {
  RowFindings findings;
  std::mt19937 random(seed);
  for (const ElementType type :
       {ElementType::kFloat32, ElementType::kFloat64}) {
    for (uint64_t power = 1; power <= kLongest; power *= 2) {
      for (const uint64_t length : {power - 1, power, power + 1}) {
        if (length == 0) continue;
        const uint64_t rows = std::max<uint64_t>(2, elements / length);
        Check(set, type, rows, length, random, findings);
      }
    }
  }
  return findings;
}

}  // namespace lossd::judge
