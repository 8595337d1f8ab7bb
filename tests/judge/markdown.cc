// The report as people read it, ready to paste.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/judge/report.h"

namespace lossd::exhaustive {
namespace {

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
  std::string row = absl::StrFormat("| %s | %s, t = %d | %s | %a |", form,
                                    output, t, Ulp(tally.max), tally.worst);
  for (const uint64_t bucket : tally.buckets) {
    absl::StrAppend(&row, " ", Share(bucket, tally.count), " |");
  }
  absl::StrAppend(&row, " ",
                  Share(tally.middle_rounded_correctly, tally.middle_count),
                  " |");
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
  std::string names = "| form | output | max ulp | at x | % 0-0.5 |";
  std::string rule = "|---|---|--:|--:|--:|";
  for (size_t i = 0; i + 1 < kBucketEnds.size(); ++i) {
    absl::StrAppend(&names, " -", kBucketEnds[i + 1], " |");
    absl::StrAppend(&rule, "--:|");
  }
  absl::StrAppend(
      &names, " >", kBucketEnds.back(),
      " | % rounded correctly, middle | steps back | asymmetries | no digit "
      "left from abs x |\n");
  return names + rule + "--:|--:|--:|--:|--:|\n";
}

std::string FamilyCells(const SampleTally& tally, uint64_t samples) {
  // Up to 1/2, 1, 2, and beyond.
  uint64_t parts[4] = {tally.histogram[0], 0, 0, tally.histogram.back()};
  for (size_t i = 1; i < kBucketEnds.size(); ++i) {
    parts[kBucketEnds[i] <= 1 ? 1 : 2] += tally.histogram[i];
  }
  std::string cells = absl::StrCat(" ", Ulp(tally.max), " |");
  for (const uint64_t part : parts) {
    absl::StrAppend(&cells, " ", Share(part, samples), " |");
  }
  return cells;
}

std::string Families(const std::vector<FamilyFindings>& families) {
  if (families.empty()) return "";
  std::string table = absl::StrFormat(
      "\n%u drawn elements each; the reference is long double, and within the "
      "last column's ulps of\nMPFR's values. Errors of the gradient are in "
      "units of the larger of the terms of which it is the\ndifference where "
      "it says *.\n\n"
      "| sampled | type | abs x to | loss, max ulp | %% 0-0.5 | -1 | -2 | >2 "
      "| gradient, max ulp | %% 0-0.5 | -1 | -2 | >2 | bound | reference |\n"
      "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
      families.front().samples);
  for (const FamilyFindings& found : families) {
    const Family& family = *found.family;
    absl::StrAppendFormat(&table, "| %s%s | %s | %.0g |%s%s %g | 2^%.1f |\n",
                          family.name, family.larger_term == nullptr ? "" : "*",
                          kernels::Name(family.type), family.largest_logit,
                          FamilyCells(found.loss, found.samples),
                          FamilyCells(found.gradient, found.samples),
                          family.bound, std::log2(found.reference_error));
  }
  return table;
}

std::string Halves(const HalfFindings& halves) {
  return absl::StrFormat(
      "\nbfloat16 and float16, every logit, targets 0 and 1: of %u losses and "
      "gradients %u are not\nfloat32's, rounded correctly.\n",
      halves.results, halves.different);
}

}  // namespace

std::string Ulp(double ulps) {
  return ulps < 1e4 ? absl::StrFormat("%.3f", ulps)
                    : absl::StrFormat("%.1e", ulps);
}

std::string ReferenceLine(const ReferenceErrors& errors) {
  return absl::StrFormat(
      "The float64 reference is within 2^%.1f ulp (loss) and 2^%.1f ulp "
      "(gradient) of MPFR's\nvalues at %u logits.\n",
      std::log2(errors.loss), std::log2(errors.gradient), errors.logits);
}

std::string Markdown(const Report& report) {
  const Enumeration& enumeration = report.enumeration;
  return absl::StrCat(
      "    ", report.command, "\n\n", ReferenceLine(report.reference),
      absl::StrFormat(
          "%u float32 logits for each of the targets 0 and 1; both infinities "
          "and %u NaNs\nbeside them%s.\n\n",
          enumeration.kernel.loss[0].count, report.limits.nans,
          report.limits.broken.empty() ? " give their limits and NaN" : ""),
      Heading(), Rows("lossd", enumeration.kernel),
      Rows("PyTorch", enumeration.pytorch), Rows("Caffe", enumeration.caffe),
      Families(report.families), Halves(report.halves));
}

}  // namespace lossd::exhaustive
