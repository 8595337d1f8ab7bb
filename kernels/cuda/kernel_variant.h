// Which loop computes a segment on a device.
//
// Registers decide how many warps a multiprocessor holds, and a kernel takes
// those of its longest way. Hence one kernel for each path: the ones that are
// taken most are short. A batch whose segments share a path, as those of one
// training job do, is one launch; any other is one launch for each path in it.
#ifndef LOSSD_KERNELS_CUDA_KERNEL_VARIANT_H_
#define LOSSD_KERNELS_CUDA_KERNEL_VARIANT_H_

#include <cstdint>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cuda {

// The plain paths are named by their logits, which the gradient is stored like,
// and targets where those are stored otherwise. They are cross-entropies
// without options: no weights, no ignored targets, no smoothing, no losses.
enum class Path : uint8_t {  // D34
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
  // Everything else: computed in float32, the cross-entropy; a loss of powers;
  // any loss computed in float64.
  kGeneral,
  kGeneralPowers,
  kGeneralFloat64,
};
inline constexpr int kPathCount = 15;

// The path of a segment whose gradient is scaled with `gradient_scale`.
Path PathOf(const Segment& segment, double gradient_scale);

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_KERNEL_VARIANT_H_
