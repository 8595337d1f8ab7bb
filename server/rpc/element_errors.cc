#include "server/rpc/element_errors.h"

#include "absl/strings/str_cat.h"
#include "server/rpc/message_text.h"

namespace lossd::rpc {

absl::Status CheckElements(const kernels::Segment& segment,
                           const kernels::Totals& totals,
                           uint64_t first_element) {
  if (segment.options.reject_nan_logits &&
      totals.first_nan != kernels::kNoIndex) {
    return absl::InvalidArgumentError(
        absl::StrCat("logits[", first_element + totals.first_nan,
                     "]: NaN, and spec.nan_policy is NAN_POLICY_REJECT"));
  }
  if (totals.first_bad_target == kernels::kNoIndex) return absl::OkStatus();
  const double value = kernels::TargetAt(segment, totals.first_bad_target);
  return absl::InvalidArgumentError(absl::StrCat(
      "targets[", first_element + totals.first_bad_target,
      "]: ", NumberText(value), " is not ",
      segment.options.targets_in_unit_interval ? "in [0, 1]" : "finite"));
}

}  // namespace lossd::rpc
