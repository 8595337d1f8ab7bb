// Highway's foreach_target compiles this file once for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/kernels/peers.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cstring>

#include "bench/kernels/peers.h"
#include "kernels/sigmoid_loss.h"

HWY_BEFORE_NAMESPACE();
namespace lossd::kernels::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE
// Adds each element to its lane, in float64.
template <class D>
HWY_INLINE void AddToLanes(D, hn::Vec<D> values, double* lanes) {
  const hn::Half<D> half;
  const hn::Rebind<double, decltype(half)> wide;
  const size_t n = hn::Lanes(half);
  const auto low = hn::PromoteTo(wide, hn::LowerHalf(half, values));
  const auto high = hn::PromoteTo(wide, hn::UpperHalf(half, values));
  hn::Store(hn::Add(hn::Load(wide, lanes), low), wide, lanes);
  hn::Store(hn::Add(hn::Load(wide, lanes + n), high), wide, lanes + n);
}

double HighwayMathLoop(const float* logits, const float* targets, uint64_t n,
                       float scale, float* gradient) {
  double sum = 0;
  const hn::ScalableTag<float> d;
  const auto one = hn::Set(d, 1.0f);
  for (uint64_t first = 0; first < n; first += kBlockElements) {
    alignas(64) double lanes[kBlockLanes] = {};
    for (uint64_t i = 0; i < kBlockElements; i += hn::Lanes(d)) {
      const auto x = hn::LoadU(d, logits + first + i);
      const auto t = hn::LoadU(d, targets + first + i);
      const auto z = hn::Exp(d, hn::Neg(hn::Abs(x)));
      const auto loss = hn::Add(hn::NegMulAdd(x, t, hn::Max(x, hn::Zero(d))),
                                hn::Log1p(d, z));
      const auto s =
          hn::Div(hn::IfNegativeThenElse(x, z, one), hn::Add(one, z));
      hn::StoreU(hn::Mul(hn::Sub(s, t), hn::Set(d, scale)), d,
                 gradient + first + i);
      AddToLanes(d, loss, lanes + i % kBlockLanes);
    }
    sum += SumLanes(lanes);
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
