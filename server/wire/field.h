// Names the tensors of a request.
#ifndef LOSSD_SERVER_WIRE_FIELD_H_
#define LOSSD_SERVER_WIRE_FIELD_H_

#include <array>
#include <cstddef>

#include "absl/strings/string_view.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::wire {

// The order is that of the field numbers in ComputeLossRequest, 2 to 6, and in
// StreamLossChunk, 1 to 5.
enum class Field { kLogits, kTargets, kWeights, kPosWeight, kUpstreamGradient };

inline constexpr std::array kAllFields = {Field::kLogits, Field::kTargets,
                                          Field::kWeights, Field::kPosWeight,
                                          Field::kUpstreamGradient};
inline constexpr int kFieldCount = kAllFields.size();

// Returns a tensor of the request: the default instance if the request does not
// have it.
const v1::Tensor& TensorOf(const v1::ComputeLossRequest& request, Field field);

// Returns the field's name in the proto, such as "logits", for error messages.
absl::string_view Name(Field field);

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_FIELD_H_
