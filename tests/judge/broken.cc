// What the report may not say.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/judge/report.h"

namespace lossd::exhaustive {
namespace {

constexpr double kMaxUlps = 2;

void AppendBroken(const std::string& what, const UlpTally& tally,
                  std::string& broken) {
  if (tally.max <= kMaxUlps) return;
  absl::StrAppendFormat(&broken, "%s: %s ulp at %a\n", what, Ulp(tally.max),
                        tally.worst);
}

void AppendBroken(const std::string& what, const Violations& violations,
                  std::string& broken) {
  if (violations.count == 0) return;
  absl::StrAppendFormat(&broken, "%s: %u, the first at %a (%.9g)\n", what,
                        violations.count, violations.first, violations.first);
}

// A reference is good enough where it is 100 times closer than the bound.
void AppendBroken(const FamilyFindings& found, std::string& broken) {
  const double bound = found.family->bound;
  if (found.loss.max <= bound && found.gradient.max <= bound &&
      found.reference_error <= bound / 100) {
    return;
  }
  absl::StrAppendFormat(
      &broken, "%s, %s: loss %s ulp, gradient %s ulp, reference 2^%.1f ulp\n",
      found.family->name, kernels::Name(found.family->type),
      Ulp(found.loss.max), Ulp(found.gradient.max),
      std::log2(found.reference_error));
}

void AppendBrokenForm(const FormTally& kernel, std::string& broken) {
  for (const int t : {0, 1}) {
    const std::string of = absl::StrCat(", t = ", t);
    AppendBroken("loss" + of, kernel.loss[t], broken);
    AppendBroken("gradient" + of, kernel.gradient[t], broken);
    AppendBroken("steps back of the loss" + of, kernel.loss_steps[t], broken);
    AppendBroken("steps back of the gradient" + of, kernel.gradient_steps[t],
                 broken);
  }
  AppendBroken("asymmetries of the loss", kernel.loss_symmetry, broken);
  AppendBroken("asymmetries of the gradient", kernel.gradient_symmetry, broken);
}

}  // namespace

std::string Broken(const Report& report) {
  const Enumeration& enumeration = report.enumeration;
  std::string broken = report.limits.broken;
  AppendBrokenForm(enumeration.kernel, broken);
  AppendBroken("lines on which another loop gives other bits",
               enumeration.paths, broken);
  AppendBroken("lines on which another instruction set gives other bits",
               enumeration.instruction_sets, broken);
  if (report.reference.loss > kReferenceBound ||
      report.reference.gradient > kReferenceBound) {
    absl::StrAppend(&broken,
                    "the reference: ", ReferenceLine(report.reference));
  }
  for (const FamilyFindings& found : report.families) {
    AppendBroken(found, broken);
  }
  if (report.halves.different != 0) {
    absl::StrAppend(&broken,
                    "16-bit results rounded wrongly: ", report.halves.different,
                    "\n");
  }
  return broken;
}

}  // namespace lossd::exhaustive
