#include "kernels/cuda/kernel_variant.h"

#include <cmath>
#include <optional>

namespace lossd::kernels::cuda {
namespace {

bool IsByte(ElementType type) {
  return type == ElementType::kUint8 || type == ElementType::kBool;
}

// Nothing is asked for but the loss and, in the logits' type, its gradient. An
// infinite scale makes a NaN of a derivative of 0: plain loops do not mind it.
bool IsPlain(const Segment& segment, double gradient_scale) {
  const LossOptions& options = segment.options;
  return options.kind == LossKind::kSigmoidCrossEntropy &&
         segment.targets.present() && !segment.weights.present() &&
         !segment.pos_weight.present() && !segment.upstream.present() &&
         !options.ignore_target && options.label_smoothing == 0 &&
         options.targets_in_unit_interval && segment.losses == nullptr &&
         segment.gradient_type == segment.logits.type &&
         std::isfinite(static_cast<float>(gradient_scale));
}

// Of a half type: `same` is the path of targets stored like the logits, and
// those of float32, bytes and bits follow it.
std::optional<Path> HalfPath(ElementType logits, ElementType targets,
                             Path same) {
  const auto after = [same](int k) {
    return static_cast<Path>(static_cast<int>(same) + k);
  };
  if (targets == logits) return same;
  if (targets == ElementType::kFloat32) return after(1);
  if (IsByte(targets)) return after(2);
  if (targets == ElementType::kBit) return after(3);
  return std::nullopt;
}

std::optional<Path> PlainPath(ElementType logits, ElementType targets) {
  switch (logits) {
    case ElementType::kFloat32:
      if (targets == logits) return Path::kFloat32;
      if (IsByte(targets)) return Path::kFloat32Bytes;
      if (targets == ElementType::kBit) return Path::kFloat32Bits;
      return std::nullopt;
    case ElementType::kBFloat16:
      return HalfPath(logits, targets, Path::kBFloat16);
    case ElementType::kFloat16:
      return HalfPath(logits, targets, Path::kFloat16);
    default:
      if (targets == logits) return Path::kFloat64;
      return std::nullopt;
  }
}

}  // namespace

Path PathOf(const Segment& segment, double gradient_scale) {
  if (IsPlain(segment, gradient_scale)) {
    const std::optional<Path> path =
        PlainPath(segment.logits.type, segment.targets.type);
    if (path) return *path;
  }
  if (segment.logits.type == ElementType::kFloat64) {
    return Path::kGeneralFloat64;
  }
  return segment.options.kind == LossKind::kSigmoidCrossEntropy
             ? Path::kGeneral
             : Path::kGeneralPowers;
}

}  // namespace lossd::kernels::cuda
