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
inline constexpr size_t kFieldCount = kAllFields.size();

// Holds one T for each field.
template <typename T>
class PerField {
 public:
  T& operator[](Field field) { return values_[static_cast<size_t>(field)]; }
  const T& operator[](Field field) const {
    return values_[static_cast<size_t>(field)];
  }
  // Iterates in the order of kAllFields.
  auto begin() { return values_.begin(); }
  auto end() { return values_.end(); }
  auto begin() const { return values_.begin(); }
  auto end() const { return values_.end(); }

 private:
  std::array<T, kFieldCount> values_{};
};

// Returns a tensor of the request: the default instance if the request does not
// have it.
const v1::Tensor& TensorOf(const v1::ComputeLossRequest& request, Field field);

// Returns the field's name in the proto, such as "logits", for error messages.
absl::string_view Name(Field field);

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_FIELD_H_
