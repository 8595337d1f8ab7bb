#include "kernels/cuda/kernel_variant.h"

#include <cmath>
#include <optional>

namespace lossd::kernels::cuda {
namespace {

static_assert(kVariantCount ==
              static_cast<int>(KernelVariant::kSecondFloat64) + 1);

bool IsByte(ElementType type) {
  return type == ElementType::kUint8 || type == ElementType::kBool;
}

// Returns whether the segment asks for nothing but the loss and, in the logits'
// type, its gradient. The scale must be finite in float32: an infinite one
// makes a NaN of a derivative of 0, which the fast loop would not notice.
bool HasNoOptions(const Segment& segment, double gradient_scale) {
  const LossOptions& options = segment.options;
  return options.kind == LossKind::kSigmoidCrossEntropy &&
         segment.targets.present() && !segment.weights.present() &&
         !segment.pos_weight.present() && !segment.upstream.present() &&
         !options.ignore_target && options.label_smoothing == 0 &&
         options.targets_in_unit_interval && segment.losses == nullptr &&
         segment.second_derivative == nullptr && segment.row_sums == nullptr &&
         segment.gradient_type == segment.logits.type &&
         std::isfinite(static_cast<float>(gradient_scale));
}

// The fast variants of one type of logits, by the type of the targets.
struct ByTargets {
  KernelVariant bytes;
  KernelVariant bits;
  std::optional<KernelVariant> float32;
};

std::optional<KernelVariant> Choose(ElementType targets,
                                    const ByTargets& variants) {
  if (IsByte(targets)) return variants.bytes;
  if (targets == ElementType::kBit) return variants.bits;
  if (targets == ElementType::kFloat32) return variants.float32;
  return std::nullopt;
}

// Returns the fast variant of these types, if there is one.
std::optional<KernelVariant> FastVariant(ElementType logits,
                                         ElementType targets) {
  const bool same = targets == logits;
  switch (logits) {
    case ElementType::kFloat32:
      return Choose(targets, {.bytes = KernelVariant::kFloat32Bytes,
                              .bits = KernelVariant::kFloat32Bits,
                              .float32 = KernelVariant::kFloat32});
    case ElementType::kBFloat16:
      if (same) return KernelVariant::kBFloat16;
      return Choose(targets, {.bytes = KernelVariant::kBFloat16Bytes,
                              .bits = KernelVariant::kBFloat16Bits,
                              .float32 = KernelVariant::kBFloat16Float32});
    case ElementType::kFloat16:
      if (same) return KernelVariant::kFloat16;
      return Choose(targets, {.bytes = KernelVariant::kFloat16Bytes,
                              .bits = KernelVariant::kFloat16Bits,
                              .float32 = KernelVariant::kFloat16Float32});
    case ElementType::kFloat64:
      if (same) return KernelVariant::kFloat64;
      return std::nullopt;
    default:  // float8
      return std::nullopt;
  }
}

}  // namespace

KernelVariant VariantOf(const Segment& segment, double gradient_scale) {
  if (HasNoOptions(segment, gradient_scale)) {
    const std::optional<KernelVariant> fast =
        FastVariant(segment.logits.type, segment.targets.type);
    if (fast) return *fast;
  }
  const bool second = segment.second_derivative != nullptr;
  if (segment.logits.type == ElementType::kFloat64) {
    return second ? KernelVariant::kSecondFloat64
                  : KernelVariant::kExactFloat64;
  }
  if (segment.options.kind == LossKind::kSigmoidCrossEntropy) {
    return second ? KernelVariant::kSecond : KernelVariant::kExact;
  }
  return second ? KernelVariant::kSecondPowers : KernelVariant::kExactPowers;
}

}  // namespace lossd::kernels::cuda
