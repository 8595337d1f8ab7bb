#include "tests/judge/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lossd::judge {
namespace {

std::string Ulp(double ulps) {
  return ulps < 1e4 ? absl::StrFormat("%.3f", ulps)
                    : absl::StrFormat("%.1e", ulps);
}

std::string ReferenceLine(const ReferenceErrors& errors) {
  return absl::StrFormat(
      "The float64 reference is within 2^%.1f ulp (loss), 2^%.1f ulp "
      "(gradient) and 2^%.1f ulp\n(second derivative) of MPFR's values at %u "
      "logits.\n",
      std::log2(errors.loss), std::log2(errors.gradient),
      std::log2(errors.second), errors.logits);
}

// --- Markdown ---

// Returns a share in per cent. Small shares keep a digit.
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
  if (tally.second[0].count == 0) return rows;
  for (const int t : {0, 1}) {
    absl::StrAppend(&rows, Row(form, "second derivative", t, tally.second[t],
                               tally.second_steps[t], tally.second_symmetry));
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
  // The parts are the errors up to 1/2, 1, 2, and beyond.
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

std::string Text(const Bounds& bounds) {
  return absl::StrFormat("%g, %g, %g", bounds.loss, bounds.gradient,
                         bounds.second);
}

std::string Families(const std::vector<FamilyFindings>& families) {
  if (families.empty()) return "";
  std::string table = absl::StrFormat(
      "\n%u drawn elements each; the reference is long double, and within the "
      "last column's ulps of\nMPFR's values. Errors of the gradient are in "
      "units of the larger of the terms of which it is the\ndifference where "
      "it "
      "says *, and those of the second derivative in units of the sum of "
      "its\nterms' sizes.\n\n"
      "| sampled | type | abs x to | loss, max ulp | %% 0-0.5 | -1 | -2 | >2 "
      "| gradient, max ulp | %% 0-0.5 | -1 | -2 | >2 | second derivative, max "
      "ulp | %% 0-0.5 | -1 | -2 | >2 | bounds | reference |\n"
      "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
      "--:|--:|--:|\n",
      families.front().samples);
  for (const FamilyFindings& found : families) {
    const Family& family = *found.family;
    absl::StrAppendFormat(
        &table, "| %s%s | %s | %.0g |%s%s%s %s | 2^%.1f |\n", family.name,
        family.larger_term == nullptr ? "" : "*", kernels::Name(family.type),
        family.largest_logit, FamilyCells(found.loss, found.samples),
        FamilyCells(found.gradient, found.samples),
        FamilyCells(found.second, found.samples), Text(family.bounds),
        std::log2(found.reference_error));
  }
  return table;
}

std::string Halves(const HalfFindings& halves) {
  return absl::StrFormat(
      "\nbfloat16 and float16, every logit, targets 0 and 1: of %u losses and "
      "gradients %u are not\nfloat32's, rounded correctly.\n",
      halves.results, halves.different);
}

std::string Float8s(const Float8Findings& float8s) {
  return absl::StrFormat(
      "\nfloat8_e4m3fn and float8_e5m2, every logit, targets 0 and 1, computed "
      "and looked up: of %u losses\nand gradients %u are not float32's, "
      "rounded "
      "correctly.\n",
      float8s.results, float8s.different);
}

std::string SumsOfRows(const RowFindings& rows) {
  return absl::StrFormat(
      "\nThe losses of %u rows of 1 to 131,073 elements are within %.1f units "
      "of 2^-53 of the sum of\ntheir elements; of their derivatives %u are not "
      "those of the elements.\n",
      rows.rows, rows.max_ulps, rows.different);
}

// --- JSON ---

// JSON has no infinity.
nlohmann::json JsonNumber(double value) {
  if (std::isinf(value)) return "infinity";
  return value;
}

nlohmann::json JsonOf(const SampleTally& tally) {
  const ElementInputs& worst = tally.worst;
  const auto number = [](long double value) {
    return static_cast<double>(value);
  };
  return {{"max_ulps", JsonNumber(tally.max)},
          {"histogram", tally.histogram},
          {"worst",
           {{"logit", number(worst.x)},
            {"target", number(worst.t)},
            {"pos_weight", number(worst.q)},
            {"weight", number(worst.w)},
            {"label_smoothing", number(worst.smoothing)}}}};
}

nlohmann::json JsonOf(const FamilyFindings& found) {
  const Bounds& bounds = found.family->bounds;
  return {{"name", found.family->name},
          {"type", kernels::Name(found.family->type)},
          {"samples", found.samples},
          {"bounds",
           {{"loss", bounds.loss},
            {"gradient", bounds.gradient},
            {"second_derivative", bounds.second}}},
          {"loss", JsonOf(found.loss)},
          {"gradient", JsonOf(found.gradient)},
          {"second_derivative", JsonOf(found.second)},
          {"reference_ulps", found.reference_error}};
}

nlohmann::json JsonOf(const UlpTally& tally) {
  return {{"count", tally.count},
          {"max_ulps", JsonNumber(tally.max)},
          {"worst_logit", tally.worst},
          {"rounded_correctly", tally.rounded_correctly},
          {"middle_count", tally.middle_count},
          {"middle_rounded_correctly", tally.middle_rounded_correctly},
          {"histogram", tally.buckets},
          {"first_lost_logit", JsonNumber(tally.first_lost)}};
}

nlohmann::json JsonOf(const Violations& violations) {
  return {{"count", violations.count},
          {"first_logit", JsonNumber(violations.first)}};
}

nlohmann::json JsonOf(const FormTally& tally) {
  nlohmann::json json;
  for (const int t : {0, 1}) {
    const std::string of = absl::StrCat("_target_", t);
    json["loss" + of] = JsonOf(tally.loss[t]);
    json["gradient" + of] = JsonOf(tally.gradient[t]);
    json["second_derivative" + of] = JsonOf(tally.second[t]);
    json["loss_steps_back" + of] = JsonOf(tally.loss_steps[t]);
    json["gradient_steps_back" + of] = JsonOf(tally.gradient_steps[t]);
    json["second_derivative_steps_back" + of] = JsonOf(tally.second_steps[t]);
  }
  json["loss_asymmetries"] = JsonOf(tally.loss_symmetry);
  json["gradient_asymmetries"] = JsonOf(tally.gradient_symmetry);
  json["second_derivative_asymmetries"] = JsonOf(tally.second_symmetry);
  return json;
}

// --- Broken bounds ---

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

// The reference must be 100 times closer than the least bound.
void AppendBroken(const FamilyFindings& found, std::string& broken) {
  const Family& family = *found.family;
  const auto append = [&](const char* output, double ulps, double bound) {
    if (ulps <= bound) return;
    absl::StrAppendFormat(&broken, "%s, %s: %s %s ulp, its bound is %g\n",
                          family.name, kernels::Name(family.type), output,
                          Ulp(ulps), bound);
  };
  const Bounds& bounds = family.bounds;
  append("loss", found.loss.max, bounds.loss);
  append("gradient", found.gradient.max, bounds.gradient);
  append("second derivative", found.second.max, bounds.second);
  append("reference", found.reference_error,
         std::min({bounds.loss, bounds.gradient, bounds.second}) / 100);
}

void AppendBrokenForm(const FormTally& kernel, std::string& broken) {
  for (const int t : {0, 1}) {
    const std::string of = absl::StrCat(", t = ", t);
    AppendBroken("loss" + of, kernel.loss[t], broken);
    AppendBroken("gradient" + of, kernel.gradient[t], broken);
    AppendBroken("second derivative" + of, kernel.second[t], broken);
    AppendBroken("steps back of the second derivative" + of,
                 kernel.second_steps[t], broken);
    AppendBroken("steps back of the loss" + of, kernel.loss_steps[t], broken);
    AppendBroken("steps back of the gradient" + of, kernel.gradient_steps[t],
                 broken);
  }
  AppendBroken("asymmetries of the loss", kernel.loss_symmetry, broken);
  AppendBroken("asymmetries of the gradient", kernel.gradient_symmetry, broken);
  AppendBroken("asymmetries of the second derivative", kernel.second_symmetry,
               broken);
}

}  // namespace

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
      Families(report.families), Halves(report.halves), Float8s(report.float8s),
      SumsOfRows(report.rows));
}

std::string Json(const Report& report) {
  const Enumeration& enumeration = report.enumeration;
  nlohmann::json json;
  json["command"] = report.command;
  json["seed"] = report.options.seed;
  json["stride"] = report.options.stride;
  json["histogram_ends"] = kBucketEnds;
  json["reference"] = {{"logits", report.reference.logits},
                       {"loss_ulps", report.reference.loss},
                       {"gradient_ulps", report.reference.gradient},
                       {"second_derivative_ulps", report.reference.second}};
  json["limits"] = {{"nans", report.limits.nans},
                    {"broken", report.limits.broken}};
  json["lossd"] = JsonOf(enumeration.kernel);
  if (report.options.peers) {
    json["pytorch"] = JsonOf(enumeration.pytorch);
    json["caffe"] = JsonOf(enumeration.caffe);
  }
  for (const FamilyFindings& found : report.families) {
    json["families"].push_back(JsonOf(found));
  }
  json["halves"] = {{"results", report.halves.results},
                    {"different", report.halves.different}};
  json["float8s"] = {{"results", report.float8s.results},
                     {"different", report.float8s.different}};
  json["rows"] = {{"rows", report.rows.rows},
                  {"max_ulps", report.rows.max_ulps},
                  {"different", report.rows.different}};
  json["differing_paths"] = JsonOf(enumeration.paths);
  json["differing_instruction_sets"] = JsonOf(enumeration.instruction_sets);
  json["broken"] = Broken(report);
  return json.dump(2) + "\n";
}

std::string Broken(const Report& report) {
  const Enumeration& enumeration = report.enumeration;
  std::string broken = report.limits.broken;
  AppendBrokenForm(enumeration.kernel, broken);
  AppendBroken("lines on which another loop gives other bits",
               enumeration.paths, broken);
  AppendBroken("lines on which another instruction set gives other bits",
               enumeration.instruction_sets, broken);
  if (report.reference.loss > kReferenceBound ||
      report.reference.gradient > kReferenceBound ||
      report.reference.second > kReferenceBound) {
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
  if (report.float8s.different != 0) {
    absl::StrAppend(&broken, "float8 results rounded wrongly: ",
                    report.float8s.different, "\n");
  }
  if (report.rows.different != 0 || report.rows.max_ulps > kRowBound) {
    absl::StrAppend(&broken, SumsOfRows(report.rows));
  }
  return broken;
}

}  // namespace lossd::judge
