#ifndef LOSSD_BENCH_PEERS_TRITON_MESSAGES_H_
#define LOSSD_BENCH_PEERS_TRITON_MESSAGES_H_

#include <string>

#include "absl/status/statusor.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::bench {

// The inference protocol of Triton (and KServe), version 2: what asks the model
// of triton_model/ the same as a ComputeLossRequest, by field number.
inline constexpr char kTritonMethod[] =
    "/inference.GRPCInferenceService/ModelInfer";

// A ModelInferRequest with the tensors as raw contents, a batch of one.
// UNIMPLEMENTED for other types than float32 and a spec: the model has none.
absl::StatusOr<std::string> TritonRequest(
    const v1::ComputeLossRequest& request);

// What a ModelInferResponse says, as lossd would have said it.
absl::StatusOr<v1::ComputeLossResponse> FromTriton(const std::string& reply);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_PEERS_TRITON_MESSAGES_H_
