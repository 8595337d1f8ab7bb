// Highway's foreach_target compiles this file once for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/kernels/peers.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "bench/kernels/peers.h"
#include "kernels/sigmoid_loss.h"

HWY_BEFORE_NAMESPACE();
namespace lossd::kernels::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE
using D = hn::ScalableTag<float>;

// Writes the gradient of a vector of elements and returns their losses.
HWY_INLINE hn::Vec<D> HighwayMathStep(const float* logits, const float* targets,
                                      hn::Vec<D> scale, float* gradient) {
  const D d;
  const auto one = hn::Set(d, 1.0f);
  const auto x = hn::LoadU(d, logits);
  const auto t = hn::LoadU(d, targets);
  const auto z = hn::Exp(d, hn::Or(x, hn::SignBit(d)));
  const auto s = hn::Div(hn::IfNegativeThenElse(x, z, one), hn::Add(one, z));
  hn::StoreU(hn::Mul(hn::Sub(s, t), scale), d, gradient);
  return hn::Add(hn::NegMulAdd(x, t, hn::Max(x, hn::Zero(d))), hn::Log1p(d, z));
}

double HighwayMathLoop(const float* logits, const float* targets, uint64_t n,
                       float scale, float* gradient) {
  const D d;
  const auto scales = hn::Set(d, scale);
  double sum = 0;
  for (uint64_t first = 0; first < n; first += kBlockElements) {
    auto even = hn::Zero(d);
    auto odd = hn::Zero(d);
    for (uint64_t i = first; i < first + kBlockElements; i += hn::Lanes(d)) {
      even = hn::Add(
          even, HighwayMathStep(logits + i, targets + i, scales, gradient + i));
      i += hn::Lanes(d);
      odd = hn::Add(
          odd, HighwayMathStep(logits + i, targets + i, scales, gradient + i));
    }
    sum += hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
  }
  return sum;
}
#else  // no vectors
double HighwayMathLoop(const float*, const float*, uint64_t, float, float*) {
  return 0;
}
#endif

void StreamLoop(const float* logits, const float* targets, uint64_t n,
                float* gradient) {
  const hn::ScalableTag<float> d;
  for (uint64_t i = 0; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    hn::StoreU(hn::Add(hn::LoadU(d, logits + i), hn::LoadU(d, targets + i)), d,
               gradient + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lossd::kernels::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lossd::kernels::cpu {

HWY_EXPORT(HighwayMathLoop);
HWY_EXPORT(StreamLoop);

bool LimitPeers(const InstructionSet& set) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    if (set.name != hwy::TargetName(target)) continue;
    hwy::SetSupportedTargetsForTest(target);
    return true;
  }
  return false;
}

double HighwayMath(const float* logits, const float* targets, uint64_t n,
                   float scale, float* gradient) {
  return HWY_DYNAMIC_DISPATCH(HighwayMathLoop)(logits, targets, n, scale,
                                               gradient);
}

void Stream(const float* logits, const float* targets, uint64_t n,
            float* gradient) {
  HWY_DYNAMIC_DISPATCH(StreamLoop)(logits, targets, n, gradient);
}

}  // namespace lossd::kernels::cpu
#endif  // HWY_ONCE
