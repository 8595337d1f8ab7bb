// The report as programs read it.
#include "nlohmann/json.hpp"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "tests/judge/report.h"

namespace lossd::exhaustive {
namespace {

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
  return {{"name", found.family->name},
          {"type", kernels::Name(found.family->type)},
          {"samples", found.samples},
          {"bound", found.family->bound},
          {"loss", JsonOf(found.loss)},
          {"gradient", JsonOf(found.gradient)},
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
    json["loss_steps_back" + of] = JsonOf(tally.loss_steps[t]);
    json["gradient_steps_back" + of] = JsonOf(tally.gradient_steps[t]);
  }
  json["loss_asymmetries"] = JsonOf(tally.loss_symmetry);
  json["gradient_asymmetries"] = JsonOf(tally.gradient_symmetry);
  return json;
}

}  // namespace

std::string Json(const Report& report) {
  const Enumeration& enumeration = report.enumeration;
  nlohmann::json json;
  json["command"] = report.command;
  json["seed"] = report.options.seed;
  json["stride"] = report.options.stride;
  json["histogram_ends"] = kBucketEnds;
  json["reference"] = {{"logits", report.reference.logits},
                       {"loss_ulps", report.reference.loss},
                       {"gradient_ulps", report.reference.gradient}};
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
  json["differing_paths"] = JsonOf(enumeration.paths);
  json["differing_instruction_sets"] = JsonOf(enumeration.instruction_sets);
  json["broken"] = Broken(report);
  return json.dump(2) + "\n";
}

}  // namespace lossd::exhaustive
