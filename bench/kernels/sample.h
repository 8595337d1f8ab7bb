// Segments to time, with logits N(0, 3^2), hard targets and mean reduction.
#ifndef LOSSD_BENCH_KERNELS_SAMPLE_H_
#define LOSSD_BENCH_KERNELS_SAMPLE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "element_type/half.h"
#include "kernels/cpu/cpu_kernel.h"

namespace lossd::kernels::cpu {

// The alignment of the gradient's memory that Segment requires.
constexpr size_t kAlignment = 64;

template <class T>
std::span<T> AlignedPart(std::vector<T>& storage, size_t n) {
  void* start = storage.data();
  size_t space = storage.size() * sizeof(T);
  return {static_cast<T*>(std::align(kAlignment, n * sizeof(T), start, space)),
          n};
}

// The C++ type that stores an element type, and the conversion to it.
template <ElementType kType>
struct Stored;
template <>
struct Stored<ElementType::kFloat32> {
  using T = float;
  static T From(float v) { return v; }
};
template <>
struct Stored<ElementType::kFloat64> {
  using T = double;
  static T From(float v) { return v; }
};
template <>
struct Stored<ElementType::kBFloat16> {
  using T = BFloat16;
  static T From(float v) { return BFloat16Of(v); }
};
template <>
struct Stored<ElementType::kFloat8E4M3Fn> {
  using T = Float8E4M3Fn;
  static T From(float v) { return Float8E4M3FnOf(v); }
};
template <>
struct Stored<ElementType::kFloat8E5M2> {
  using T = Float8E5M2;
  static T From(float v) { return Float8E5M2Of(v); }
};

// A segment with its memory. Not copyable: the segment points into it.
template <ElementType kLogits, ElementType kTargets>
struct Sample {
  using T = typename Stored<kLogits>::T;
  explicit Sample(uint64_t n)
      : logits(n),
        targets(ByteSize(kTargets, n)),
        gradient_storage(n + kAlignment / sizeof(T)),
        partials((n + kBlockElements - 1) / kBlockElements) {
    std::mt19937 random(1);
    std::normal_distribution<float> logit(0, 3);
    for (T& x : logits) x = Stored<kLogits>::From(logit(random));
    for (uint64_t i = 0; i < n; ++i) SetTarget(i, random() % 2 != 0);
    pieces[0] = std::as_bytes(std::span(logits));
    pieces[1] = targets;
    segment.shape.rank = 1;
    segment.shape.dims[0] = segment.element_count = n;
    segment.logits = {kLogits, std::span(pieces).first(1)};
    segment.targets = {kTargets, std::span(pieces).last(1)};
    gradient = AlignedPart(gradient_storage, n);
    segment.gradient = std::as_writable_bytes(gradient).data();
    segment.gradient_type = kLogits;
  }
  Sample(const Sample&) = delete;
  Sample& operator=(const Sample&) = delete;

  void SetTarget(uint64_t i, bool one) {
    if constexpr (kTargets == ElementType::kBit) {
      targets[i / 8] |= std::byte{one} << (i % 8);
    } else if constexpr (kTargets == ElementType::kUint8) {
      targets[i] = std::byte{one};
    } else {
      using Target = typename Stored<kTargets>::T;
      const Target target = one ? 1 : 0;
      std::memcpy(targets.data() + i * sizeof(Target), &target, sizeof(Target));
    }
  }

  static T Value(float v) { return Stored<kLogits>::From(v); }

  void WantSecondDerivative() {
    second_storage.resize(gradient_storage.size());
    second = AlignedPart(second_storage, gradient.size());
    segment.second_derivative = std::as_writable_bytes(second).data();
  }

  void Compute(const InstructionSet& set) {
    set.compute_blocks(segment,
                       GradientScale(segment, NormalizerOf(segment, Totals())),
                       0, partials);
  }

  std::vector<T> logits;
  std::vector<std::byte> targets;
  std::vector<T> gradient_storage;
  std::span<T> gradient;
  std::vector<T> second_storage;
  std::span<T> second;  // empty unless it is wanted
  std::vector<BlockPartial> partials;
  Piece pieces[2];
  Segment segment;
};

using Float32Sample = Sample<ElementType::kFloat32, ElementType::kFloat32>;

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_BENCH_KERNELS_SAMPLE_H_
