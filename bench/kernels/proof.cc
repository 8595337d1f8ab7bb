#include "bench/kernels/proof.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "bench/kernels/sample.h"
#include "kernels/reference/reference.h"

namespace lossd::kernels::cpu {
namespace {

// Returns the sample's results, gradient and loss sums, as bytes.
template <class S>
std::string BytesOf(const S& sample) {
  std::string bytes(reinterpret_cast<const char*>(sample.gradient.data()),
                    sample.gradient.size_bytes());
  bytes.append(reinterpret_cast<const char*>(sample.second.data()),
               sample.second.size_bytes());
  for (const BlockPartial& partial : sample.partials) {
    bytes.append(reinterpret_cast<const char*>(&partial.loss_sum),
                 sizeof(double));
  }
  return bytes;
}

// Fills the sample's results with values that no kernel computes.
template <class S>
void Spoil(S& sample) {
  const auto negative = sample.Value(-7);
  std::ranges::fill(sample.gradient, negative);
  std::ranges::fill(sample.second, negative);
  BlockPartial partial;
  partial.loss_sum = std::numeric_limits<double>::quiet_NaN();
  std::ranges::fill(sample.partials, partial);
}

// The error that a result of a type may have.
struct Tolerance {
  double relative;
  double absolute;
};

// Half types and float8 are rounded to nearest from a float32; half of the
// least subnormal is the absolute error.
Tolerance ToleranceOf(ElementType type) {
  switch (type) {
    case ElementType::kFloat64:
      return {2 * 0x1p-52, 0};
    case ElementType::kBFloat16:
      return {0x1p-8 + 0x1p-23, 0};
    case ElementType::kFloat8E4M3Fn:
      return {0x1p-4 + 0x1p-23, 0x1p-10};
    case ElementType::kFloat8E5M2:
      return {0x1p-3 + 0x1p-23, 0x1p-17};
    default:
      return {0x1p-23, 0};
  }
}

bool IsClose(double got, long double exact, Tolerance tolerance) {
  return std::fabs(static_cast<long double>(got) - exact) <=
         tolerance.relative * std::fabs(exact) + tolerance.absolute;
}

// Returns what is wrong with the sample's results, or "" if nothing is.
template <class S>
std::string Wrong(const S& sample, const reference::Answer& exact,
                  const std::string& bytes_of_first) {
  if (BytesOf(sample) != bytes_of_first) return "differs from the best set";
  const ElementType type = sample.segment.gradient_type;
  const Piece bytes[] = {std::as_bytes(sample.gradient),
                         std::as_bytes(sample.second)};
  const Tensor gradient = {type, std::span(&bytes[0], 1)};
  const Tensor second = {type, std::span(&bytes[1], 1)};
  for (size_t i = 0; i < sample.gradient.size(); ++i) {
    if (!IsClose(ElementAt(gradient, i), exact.gradient[i],
                 ToleranceOf(type))) {
      return "has a wrong gradient at " + std::to_string(i);
    }
    if (!IsClose(ElementAt(second, i), exact.second_derivative[i],
                 ToleranceOf(type))) {
      return "has a wrong second derivative at " + std::to_string(i);
    }
  }
  const Totals totals = Combine(sample.partials);
  const double normalizer = NormalizerOf(sample.segment, totals);
  return IsClose(LossOf(sample.segment, totals, normalizer), exact.loss,
                 {0x1p-23, 0})
             ? ""
             : "has a wrong loss";
}

// Checks a sample whose last block is shorter and ends within a vector.
template <ElementType kLogits, ElementType kTargets>
std::string WrongIn(std::span<const InstructionSet> sets) {
  Sample<kLogits, kTargets> sample(2 * kBlockElements + 903);
  // The reduction is a sum: a mean would round every gradient element twice.
  sample.segment.options.reduction = Reduction::kSum;
  sample.WantSecondDerivative();
  const reference::Answer exact = reference::Compute(sample.segment);
  std::string bytes_of_first;
  for (const InstructionSet& set : sets) {
    Spoil(sample);
    sample.Compute(set);
    if (bytes_of_first.empty()) bytes_of_first = BytesOf(sample);
    const std::string wrong = Wrong(sample, exact, bytes_of_first);
    if (wrong.empty()) continue;
    return std::string(Name(kLogits)) + " with " + std::string(Name(kTargets)) +
           " targets on " + std::string(set.name) + " " + wrong;
  }
  return "";
}

}  // namespace

std::string WrongInSamples(std::span<const InstructionSet> sets) {
  std::string wrong;
  for (auto* check : {WrongIn<ElementType::kFloat32, ElementType::kFloat32>,
                      WrongIn<ElementType::kFloat32, ElementType::kUint8>,
                      WrongIn<ElementType::kBFloat16, ElementType::kBit>,
                      WrongIn<ElementType::kFloat8E4M3Fn, ElementType::kBit>,
                      WrongIn<ElementType::kFloat8E5M2, ElementType::kUint8>,
                      WrongIn<ElementType::kFloat64, ElementType::kFloat64>}) {
    wrong = check(sets);
    if (!wrong.empty()) break;
  }
  return wrong;
}

}  // namespace lossd::kernels::cpu
