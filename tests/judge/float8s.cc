#include "tests/judge/float8s.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <vector>

namespace lossd::judge {
namespace {

using kernels::ElementType;
using kernels::Piece;
using kernels::Segment;
using kernels::cpu::InstructionSet;

constexpr size_t kPatterns = 256;
constexpr ElementType kFormats[] = {ElementType::kFloat8E4M3Fn,
                                    ElementType::kFloat8E5M2};

struct Format {
  int fraction_bits;
  int bias;
  uint8_t largest;
};

Format FormatOf(ElementType type) {
  return type == ElementType::kFloat8E4M3Fn ? Format{3, 7, 0x7e}
                                            : Format{2, 15, 0x7b};
}

bool Same(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b && std::signbit(a) == std::signbit(b);
}

template <class Logit, class Gradient>
struct Results {
  std::vector<Logit> losses;
  std::vector<Gradient> gradient;
};

// Computes a segment of these logits, which all have the target t.
template <class Logit, class Gradient>
Results<Logit, Gradient> Compute(const InstructionSet& set, ElementType type,
                                 ElementType gradient_type,
                                 const std::vector<Logit>& logits,
                                 ElementType targets_type, int t) {
  const size_t n = logits.size();
  const std::vector<std::byte> targets(
      ByteSize(targets_type, n), targets_type == ElementType::kBit && t == 1
                                     ? std::byte{0xff}
                                     : static_cast<std::byte>(t));
  const Piece pieces[] = {std::as_bytes(std::span(logits)), targets};
  Results<Logit, Gradient> results = {std::vector<Logit>(n),
                                      std::vector<Gradient>(n)};
  Segment segment;
  segment.options.reduction = kernels::Reduction::kNone;
  segment.shape.rank = 1;
  segment.shape.dims[0] = segment.element_count = n;
  segment.logits = {type, {&pieces[0], 1}};
  segment.targets = {targets_type, {&pieces[1], 1}};
  segment.losses_type = type;
  segment.losses = std::as_writable_bytes(std::span(results.losses)).data();
  segment.gradient_type = gradient_type;
  segment.gradient = std::as_writable_bytes(std::span(results.gradient)).data();
  std::vector<kernels::BlockPartial> partials(kernels::BlockCount(segment));
  set.compute_blocks(segment, 1, 0, partials);
  return results;
}

void Compare(ElementType type, std::span<const uint8_t> got,
             std::span<const float> exact, Float8Findings& findings) {
  for (size_t i = 0; i < got.size(); ++i) {
    ++findings.results;
    const float of_float32 = exact[i % kPatterns];
    if (!Same(Float8Value(type, got[i]), NearestFloat8(type, of_float32)))
      ++findings.different;
  }
}

// Compares the results of `copies` of every pattern. Several copies have 0 in
// place of NaNs, whose blocks are not looked up.
void CheckCopies(const InstructionSet& set, ElementType type, size_t copies,
                 Float8Findings& findings) {
  std::vector<uint8_t> logits(copies * kPatterns);
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto bits = static_cast<uint8_t>(i % kPatterns);
    const bool kept = copies == 1 || !std::isnan(Float8Value(type, bits));
    logits[i] = kept ? bits : 0;
  }
  std::vector<float> wide(kPatterns);
  for (size_t i = 0; i < kPatterns; ++i) {
    wide[i] = static_cast<float>(Float8Value(type, logits[i]));
  }
  for (const int t : {0, 1}) {
    const auto expected =
        Compute<float, float>(set, ElementType::kFloat32, ElementType::kFloat32,
                              wide, ElementType::kUint8, t);
    for (const ElementType targets : {ElementType::kUint8, ElementType::kBit}) {
      for (const ElementType gradient_type : kFormats) {
        const auto results = Compute<uint8_t, uint8_t>(set, type, gradient_type,
                                                       logits, targets, t);
        Compare(type, results.losses, expected.losses, findings);
        Compare(gradient_type, results.gradient, expected.gradient, findings);
      }
    }
  }
}

}  // namespace

double Float8Value(ElementType type, uint8_t bits) {
  const Format format = FormatOf(type);
  const int magnitude = bits & 0x7f;
  const int fraction = magnitude & ((1 << format.fraction_bits) - 1);
  const int exponent = magnitude >> format.fraction_bits;
  double value;
  if (magnitude <= format.largest) {
    const int implied = exponent == 0 ? 0 : 1 << format.fraction_bits;
    value = std::ldexp(implied + fraction, std::max(exponent, 1) - format.bias -
                                               format.fraction_bits);
  } else {
    const bool infinite = type == ElementType::kFloat8E5M2 && fraction == 0;
    value = infinite ? std::numeric_limits<double>::infinity()
                     : std::numeric_limits<double>::quiet_NaN();
  }
  return (bits & 0x80) != 0 ? -value : value;
}

double NearestFloat8(ElementType type, double value) {
  if (std::isnan(value) || value == 0) return value;
  const Format format = FormatOf(type);
  const double largest = Float8Value(type, format.largest);
  double rounded = value;
  if (std::isfinite(value)) {
    const int exponent = std::max(std::ilogb(value), 1 - format.bias);
    const double unit = std::ldexp(1.0, exponent - format.fraction_bits);
    rounded = std::copysign(std::nearbyint(value / unit) * unit, value);
  }
  if (std::fabs(rounded) <= largest) return rounded;
  return type == ElementType::kFloat8E4M3Fn
             ? std::numeric_limits<double>::quiet_NaN()
             : std::copysign(std::numeric_limits<double>::infinity(), value);
}

Float8Findings CheckFloat8s(const InstructionSet& set) {
  Float8Findings findings;
  for (const ElementType type : kFormats) {
    for (const size_t copies : {1, 20}) {
      CheckCopies(set, type, copies, findings);
    }
  }
  return findings;
}

}  // namespace lossd::judge
