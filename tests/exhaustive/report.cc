#include "tests/exhaustive/report.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lossd::exhaustive {
namespace {

constexpr double kMaxUlps = 2;

std::string Ulp(double ulps) {
  return ulps < 1e4 ? absl::StrFormat("%.3f", ulps)
                    : absl::StrFormat("%.1e", ulps);
}

// A share in per cent; what there is of little stays visible.
std::string Share(uint64_t part, uint64_t whole) {
  if (part == 0) return "0";
  const double percent =
      100.0 * static_cast<double>(part) / static_cast<double>(whole);
  return percent < 0.01 ? absl::StrFormat("%.1e", percent)
                        : absl::StrFormat("%.2f", percent);
}

std::string Row(const char* form, const char* output, int t,
                const UlpTally& tally, const Violations& steps,
                const Violations& symmetry) {
  std::string row = absl::StrFormat(
      "| %s | %s, t = %d | %s | %a | %s |", form, output, t, Ulp(tally.max),
      tally.worst, Share(tally.rounded_correctly, tally.count));
  for (const uint64_t bucket : tally.buckets) {
    absl::StrAppend(&row, " ", Share(bucket, tally.count), " |");
  }
  absl::StrAppend(&row, " ", steps.count, " | ", symmetry.count, " | ");
  absl::StrAppend(&row,
                  std::isinf(tally.first_lost)
                      ? "-"
                      : absl::StrFormat("%.4g", std::fabs(tally.first_lost)),
                  " |\n");
  return row;
}

std::string Rows(const char* form, const FormTally& tally) {
  std::string rows;
  if (tally.loss[0].count == 0) return rows;
  for (const int t : {0, 1}) {
    absl::StrAppend(&rows, Row(form, "loss", t, tally.loss[t],
                               tally.loss_steps[t], tally.loss_symmetry));
  }
  for (const int t : {0, 1}) {
    absl::StrAppend(&rows,
                    Row(form, "gradient", t, tally.gradient[t],
                        tally.gradient_steps[t], tally.gradient_symmetry));
  }
  return rows;
}

std::string Heading() {
  std::string names =
      "| form | output | max ulp | at x | rounded correctly % | 0-0.5 % |";
  std::string rule = "|---|---|--:|--:|--:|--:|";
  for (size_t i = 0; i + 1 < kBucketEnds.size(); ++i) {
    absl::StrAppend(&names, " -", kBucketEnds[i + 1], " |");
    absl::StrAppend(&rule, "--:|");
  }
  absl::StrAppend(&names, " >", kBucketEnds.back(),
                  " | steps back | asymmetries | no digit left from x |\n");
  return names + rule + "--:|--:|--:|--:|\n";
}

void AppendBroken(const char* what, const UlpTally& tally,
                  std::string& broken) {
  if (tally.max <= kMaxUlps) return;
  absl::StrAppendFormat(&broken, "%s: %s ulp at %a\n", what, Ulp(tally.max),
                        tally.worst);
}

void AppendBroken(const char* what, const Violations& violations,
                  std::string& broken) {
  if (violations.count == 0) return;
  absl::StrAppendFormat(&broken, "%s: %u, the first at %a (%.9g)\n", what,
                        violations.count, violations.first, violations.first);
}

}  // namespace

std::string Markdown(const Enumeration& enumeration) {
  return absl::StrCat(
      absl::StrFormat("%u logits for each of the targets 0 and 1\n\n",
                      enumeration.kernel.loss[0].count),
      Heading(), Rows("lossd", enumeration.kernel),
      Rows("PyTorch", enumeration.pytorch), Rows("Caffe", enumeration.caffe));
}

std::string Broken(const Enumeration& enumeration) {
  const FormTally& kernel = enumeration.kernel;
  std::string broken;
  for (const int t : {0, 1}) {
    const std::string of = absl::StrCat(", t = ", t);
    AppendBroken(("loss" + of).c_str(), kernel.loss[t], broken);
    AppendBroken(("gradient" + of).c_str(), kernel.gradient[t], broken);
    AppendBroken(("steps back of the loss" + of).c_str(), kernel.loss_steps[t],
                 broken);
    AppendBroken(("steps back of the gradient" + of).c_str(),
                 kernel.gradient_steps[t], broken);
  }
  AppendBroken("asymmetries of the loss", kernel.loss_symmetry, broken);
  AppendBroken("asymmetries of the gradient", kernel.gradient_symmetry, broken);
  AppendBroken("lines on which another loop gives other bits",
               enumeration.paths, broken);
  AppendBroken("lines on which another instruction set gives other bits",
               enumeration.instruction_sets, broken);
  return broken;
}

}  // namespace lossd::exhaustive
