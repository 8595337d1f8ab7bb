// Reads a LossSpec into kernels::LossOptions.
#ifndef LOSSD_SERVER_REQUEST_SPEC_H_
#define LOSSD_SERVER_REQUEST_SPEC_H_

#include "absl/status/statusor.h"
#include "kernels/sigmoid_loss.h"
#include "lossd/v1/loss_spec.pb.h"

namespace lossd::request {

// Returns the options that `spec` asks for. Errors: INVALID_ARGUMENT, also for
// an option that the chosen kind, reduction and normalizer do not read; the
// message begins with the field's path (`spec.kind: ...`).
absl::StatusOr<kernels::LossOptions> ReadSpec(const v1::LossSpec& spec);

// The kinds that GetServerInfo lists.
inline constexpr v1::LossKind kLossKinds[] = {
    v1::LOSS_KIND_SIGMOID_CROSS_ENTROPY,
    v1::LOSS_KIND_SIGMOID_FOCAL,
    v1::LOSS_KIND_ASYMMETRIC,
    v1::LOSS_KIND_POLY,
    v1::LOSS_KIND_QUALITY_FOCAL,
    v1::LOSS_KIND_VARIFOCAL};

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_SPEC_H_
