#include "server/wire/field.h"

namespace lossd::wire {

const v1::Tensor& TensorOf(const v1::ComputeLossRequest& request, Field field) {
  switch (field) {
    case Field::kLogits:
      return request.logits();
    case Field::kTargets:
      return request.targets();
    case Field::kWeights:
      return request.weights();
    case Field::kPosWeight:
      return request.pos_weight();
    case Field::kUpstreamGradient:
      return request.upstream_gradient();
  }
  return v1::Tensor::default_instance();
}

absl::string_view Name(Field field) {
  constexpr std::array<absl::string_view, kFieldCount> kNames = {
      "logits", "targets", "weights", "pos_weight", "upstream_gradient"};
  return kNames[static_cast<size_t>(field)];
}

}  // namespace lossd::wire
