#include "client/cpp/message/derivative_scaling.h"

#include <cstring>

#include "base/data_type.h"
#include "client/cpp/tensor/half.h"

namespace lossd::client {
namespace {

// A number that is no dtype is the server's to refuse.
ElementType TypeOf(v1::DataType dtype) {
  return FromProto(dtype).value_or(ElementType::kFloat32);
}

// The type in which the server computes with such logits.
ElementType ArithmeticOf(v1::DataType logits) {
  return TypeOf(logits) == ElementType::kFloat64 ? ElementType::kFloat64
                                                 : ElementType::kFloat32;
}

template <typename T>
void ScaleIn(T factor, const Elements& from, const Elements& to) {
  WithStoredFloat(TypeOf(from.dtype), [&](auto given) {
    WithStoredFloat(TypeOf(to.dtype), [&](auto rounded) {
      const size_t count = from.bytes.size() / sizeof(given);
      for (size_t i = 0; i < count; ++i) {
        std::memcpy(&given, from.bytes.data() + i * sizeof(given),
                    sizeof(given));
        StoreRounded(Loaded<T>(given) * factor, &rounded);
        std::memcpy(to.bytes.data() + i * sizeof(rounded), &rounded,
                    sizeof(rounded));
      }
    });
  });
}

}  // namespace

bool DivisorIsCounted(const LossRequest& request) {
  const v1::LossSpec& spec = request.spec;
  const bool by_weights = spec.normalizer() == v1::NORMALIZER_NONZERO_WEIGHTS ||
                          spec.normalizer() == v1::NORMALIZER_WEIGHT_SUM;
  if (by_weights && request.weights.has_value()) return true;
  return spec.has_ignore_target() &&
         (by_weights || spec.normalizer() == v1::NORMALIZER_VALID);
}

v1::DataType DerivativeType(const LossRequest& request) {
  const v1::DataType asked = request.spec.gradient_dtype();
  if (asked != v1::DATA_TYPE_UNSPECIFIED) return asked;
  const v1::DataType logits = request.logits.dtype;
  return logits == v1::DATA_TYPE_UNSPECIFIED ? v1::DATA_TYPE_FLOAT32 : logits;
}

v1::DataType SentDerivativeType(const LossRequest& request) {
  const v1::DataType wanted = DerivativeType(request);
  const v1::Reduction reduction = request.spec.reduction();
  const bool is_mean =
      reduction == v1::REDUCTION_UNSPECIFIED || reduction == v1::REDUCTION_MEAN;
  if (!is_mean || !DivisorIsCounted(request)) return wanted;
  const ElementType arithmetic = ArithmeticOf(request.logits.dtype);
  const bool is_narrower =
      IsFloat(TypeOf(wanted)) &&
      ByteSize(TypeOf(wanted), 1) < ByteSize(arithmetic, 1);
  return is_narrower ? ToProto(arithmetic) : wanted;
}

void Scale(v1::DataType logits, double factor, const Elements& from,
           const Elements& to) {
  if (ArithmeticOf(logits) == ElementType::kFloat64) {
    ScaleIn(factor, from, to);
  } else {
    ScaleIn(static_cast<float>(factor), from, to);
  }
}

}  // namespace lossd::client
