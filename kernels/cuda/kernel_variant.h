// Chooses the kernel that computes a segment on a device.
//
// A kernel uses as many registers as its longest path needs, and registers
// decide how many warps a multiprocessor holds. So there is a kernel for each
// variant, and the common ones are short (D34). A batch whose segments share a
// variant, as those of one training job do, is one launch; any other batch is
// one launch for each variant in it.
#ifndef LOSSD_KERNELS_CUDA_KERNEL_VARIANT_H_
#define LOSSD_KERNELS_CUDA_KERNEL_VARIANT_H_

#include <cstdint>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cuda {

enum class KernelVariant : uint8_t {
  // The fast variants compute a cross-entropy and its gradient: no weights, no
  // ignored targets, no smoothing, no other results. The name gives the type of
  // the logits and the gradient, then that of the targets if it is another one.
  kFloat32,
  kFloat32Bytes,
  kFloat32Bits,
  kBFloat16,
  kBFloat16Float32,
  kBFloat16Bytes,
  kBFloat16Bits,
  kFloat16,
  kFloat16Float32,
  kFloat16Bytes,
  kFloat16Bits,
  kFloat64,
  // The exact variants compute every segment with every option.
  kExact,         // cross-entropy in float32
  kExactPowers,   // the losses with powers, in float32
  kExactFloat64,  // every loss, in float64
  // The exact variants with the second derivative.
  kSecond,
  kSecondPowers,
  kSecondFloat64,
};
inline constexpr int kVariantCount = 18;

// Returns the variant of a segment whose gradient is multiplied by
// `gradient_scale`.
KernelVariant VariantOf(const Segment& segment, double gradient_scale);

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_KERNEL_VARIANT_H_
