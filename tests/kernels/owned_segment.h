// Segments that own their memory.
#ifndef LOSSD_TESTS_KERNELS_OWNED_SEGMENT_H_
#define LOSSD_TESTS_KERNELS_OWNED_SEGMENT_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::kernels {

// The answer to a segment, as bits: equal answers have equal bytes.
struct SegmentAnswer {
  double loss = 0;
  double normalizer = 0;
  Totals totals;
  std::vector<std::byte> gradient;
  std::vector<std::byte> losses;
  std::vector<std::byte> second_derivative;
};

// Returns the name of the first difference, or "" if there is none. A request
// with a bad target is refused, so then only the target's index is compared.
std::string Difference(const SegmentAnswer& a, const SegmentAnswer& b);

// Returns the largest distance between `result`, which is well below the
// largest number of `type`, and its rounding to `type`. It is 0 for types in
// which arithmetic is done: their errors are the arithmetic's.
inline double RoundingError(ElementType type, double result) {
  if (type == ElementType::kBFloat16) return 0x1p-8 * std::fabs(result);
  if (type == ElementType::kFloat8E4M3Fn) {
    return std::max(0x1p-4 * std::fabs(result), 0x1p-10);
  }
  if (type == ElementType::kFloat8E5M2) {
    return std::max(0x1p-3 * std::fabs(result), 0x1p-17);
  }
  if (type != ElementType::kFloat16) return 0;
  return std::max(0x1p-11 * std::fabs(result), 0x1p-25);
}

// A segment with its memory. Not copyable: the segment points into it.
class OwnedSegment {
 public:
  // Makes a segment with a gradient of the logits' type and no options. Logits
  // are of one of kFloatTypes. Empty `dims` are rank 0.
  OwnedSegment(ElementType type, std::vector<uint64_t> dims);
  OwnedSegment(const OwnedSegment&) = delete;
  OwnedSegment& operator=(const OwnedSegment&) = delete;

  void SetLogits(const std::vector<double>& values);
  void SetTargets(ElementType type, const std::vector<double>& values);
  // Sets targets by their ones, in place of a tensor: as a list or a
  // progression.
  void SetOnes(std::vector<uint64_t> indices);
  void SetOnes(uint64_t first, uint64_t stride, uint64_t count);
  void SetGradientType(ElementType type);
  // Set an operand with one stride for each of the logits' dimensions, and as
  // many values as the strides reach.
  void SetWeights(const std::vector<double>& values,
                  const std::vector<uint64_t>& strides,
                  ElementType type = ElementType::kFloat32);
  void SetPosWeight(const std::vector<double>& values,
                    const std::vector<uint64_t>& strides,
                    ElementType type = ElementType::kFloat32);
  void SetUpstream(const std::vector<double>& values,
                   const std::vector<uint64_t>& strides,
                   ElementType type = ElementType::kFloat32);
  void WantLosses() { WantLosses(segment.logits.type); }
  void WantLosses(ElementType type);
  void WantSecondDerivative();
  // Cuts every tensor's bytes into pieces at random places, empty pieces
  // included.
  void CutPieces(std::mt19937& random);

  // Computes all blocks with `set`, `step` blocks a call, the last call first.
  SegmentAnswer Compute(const cpu::InstructionSet& set,
                        uint64_t step = 1u << 30);

  // Computes block k on thread k % threads, one block a call.
  SegmentAnswer ComputeOnThreads(const cpu::InstructionSet& set,
                                 uint64_t threads);

  // Overwrites the results, so that old results are not taken for new
  // ones.
  void ForgetResults();

  std::vector<double> gradient() const {
    return Values(segment.gradient_type, gradient_);
  }
  std::vector<double> losses() const {
    return Values(segment.losses_type, losses_);
  }
  std::vector<double> second_derivative() const {
    return Values(segment.gradient_type, second_derivative_);
  }
  SegmentAnswer AnswerFrom(const std::vector<BlockPartial>& partials,
                           double normalizer) const;
  // Returns the factor of the gradient; counts first if it depends on counts.
  double CountedNormalizer();

  Segment segment;

 private:
  struct Bytes {
    std::vector<std::byte> storage;
    std::vector<Piece> pieces;
  };
  void Store(ElementType type, const std::vector<double>& values, Bytes& bytes,
             Tensor& tensor);
  void SetOperand(ElementType type, const std::vector<double>& values,
                  const std::vector<uint64_t>& strides, Bytes& bytes,
                  Operand& operand);
  std::vector<double> Values(ElementType type,
                             const std::vector<std::byte>& bytes) const;

  Bytes logits_, targets_, weights_, pos_weight_, upstream_;
  std::vector<uint64_t> ones_;
  std::vector<std::byte> gradient_, losses_, second_derivative_;
};

}  // namespace lossd::kernels

#endif  // LOSSD_TESTS_KERNELS_OWNED_SEGMENT_H_
