#include "server/request/bad_elements.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/request/format.h"

namespace lossd::request {
namespace {

// Returns " (element [1, 3] of shape [2, 4])", or nothing for a shape in which
// the index says it all.
std::string PlaceText(uint64_t index, std::span<const uint64_t> dims) {
  if (dims.size() < 2) return "";
  std::vector<uint64_t> place(dims.size());
  for (size_t i = dims.size(); i-- > 0;) {
    place[i] = index % dims[i];
    index /= dims[i];
  }
  return absl::StrCat(" (element ", ShapeText(place), " of shape ",
                      ShapeText(dims), ")");
}

// Returns "2 is not ", or "not " for a target that only a GPU can read.
std::string ValueText(const kernels::Segment& segment, uint64_t index) {
  if (segment.targets.on_device) return "not ";
  return absl::StrCat(NumberText(kernels::TargetAt(segment, index)),
                      " is not ");
}

}  // namespace

absl::Status CheckElements(const kernels::Segment& segment,
                           const kernels::Totals& totals,
                           const ElementShapes& shapes,
                           uint64_t first_element) {
  if (segment.options.reject_nan_logits &&
      totals.first_nan != kernels::kNoIndex) {
    const uint64_t index = first_element + totals.first_nan;
    return absl::InvalidArgumentError(absl::StrCat(
        "logits[", index, "]: NaN, and spec.nan_policy is NAN_POLICY_REJECT",
        PlaceText(index, shapes.logits)));
  }
  if (totals.first_bad_target == kernels::kNoIndex) return absl::OkStatus();
  const uint64_t index = first_element + totals.first_bad_target;
  return absl::InvalidArgumentError(absl::StrCat(
      "targets[", index, "]: ", ValueText(segment, totals.first_bad_target),
      segment.options.targets_in_unit_interval ? "in [0, 1]" : "finite",
      PlaceText(index, shapes.targets)));
}

}  // namespace lossd::request
