// The tensors of a request, by name.
#ifndef LOSSD_SERVER_WIRE_FIELD_H_
#define LOSSD_SERVER_WIRE_FIELD_H_

#include <array>
#include <cstddef>

#include "absl/strings/string_view.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::wire {

// In the order of their field numbers in ComputeLossRequest (2 to 6).
enum class Field { kLogits, kTargets, kWeights, kPosWeight, kUpstreamGradient };

inline constexpr std::array kAllFields = {Field::kLogits, Field::kTargets,
                                          Field::kWeights, Field::kPosWeight,
                                          Field::kUpstreamGradient};
inline constexpr int kFieldCount = kAllFields.size();

// Returns the tensor of a request, present or not.
const v1::Tensor& TensorOf(const v1::ComputeLossRequest& request, Field field);

// Returns the field's path in error messages: "logits", ...
absl::string_view Name(Field field);

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_FIELD_H_
