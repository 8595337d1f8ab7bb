// Messages of Triton's inference protocol.
#ifndef LOSSD_BENCH_PEERS_TRITON_MESSAGES_H_
#define LOSSD_BENCH_PEERS_TRITON_MESSAGES_H_

#include <string>

#include "absl/status/statusor.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::bench {

// The method of the inference protocol of Triton (and KServe), version 2. The
// functions below write and read its messages by field number.
inline constexpr char kTritonMethod[] =
    "/inference.GRPCInferenceService/ModelInfer";

// Returns the ModelInferRequest that asks the model in triton_model/ to compute
// `request`, with the tensors as raw contents and a batch of one. UNIMPLEMENTED
// for types other than float32 and for a spec, which the model does not have.
absl::StatusOr<std::string> TritonRequest(
    const v1::ComputeLossRequest& request);

// Returns the content of a ModelInferResponse as lossd would have answered.
// INTERNAL if `reply` is no such message.
absl::StatusOr<v1::ComputeLossResponse> FromTriton(const std::string& reply);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_PEERS_TRITON_MESSAGES_H_
