#include "tests/judge/halves.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace lossd::judge {
namespace {

using kernels::ElementType;
using kernels::Segment;
using kernels::cpu::InstructionSet;

constexpr size_t kPatterns = 1 << 16;
constexpr ElementType kFormats[] = {ElementType::kBFloat16,
                                    ElementType::kFloat16};

struct Format {
  int fraction_bits;
  int bias;
};

Format FormatOf(ElementType type) {
  return type == ElementType::kBFloat16 ? Format{7, 127} : Format{10, 15};
}

// The float32 kernel's results for the same logits.
struct Expected {
  std::vector<float> losses;
  std::vector<float> gradient;
};

// A segment over all patterns of one format, or over their values as float32.
template <class Logit>
class Run {
 public:
  Run(ElementType type, std::span<const Logit> logits, int t)
      : targets_(logits.size(), static_cast<uint8_t>(t)),
        pieces_{std::as_bytes(logits), std::as_bytes(std::span(targets_))} {
    segment_.options.reduction = kernels::Reduction::kNone;
    segment_.shape.rank = 1;
    segment_.shape.dims[0] = segment_.element_count = logits.size();
    segment_.logits = {type, {&pieces_[0], 1}};
    segment_.losses_type = type;
    segment_.targets = {ElementType::kUint8, {&pieces_[1], 1}};
  }

  // Computes losses only if `losses` is not empty.
  template <class Gradient>
  void Compute(const InstructionSet& set, ElementType gradient_type,
               std::span<Gradient> gradient, std::span<Logit> losses) {
    segment_.gradient_type = gradient_type;
    segment_.gradient = std::as_writable_bytes(gradient).data();
    segment_.losses =
        losses.empty() ? nullptr : std::as_writable_bytes(losses).data();
    std::vector<kernels::BlockPartial> partials(kernels::BlockCount(segment_));
    set.compute_blocks(segment_, 1, 0, partials);
  }

 private:
  std::vector<uint8_t> targets_;
  std::array<kernels::Piece, 2> pieces_;
  Segment segment_;
};

bool Same(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b && std::signbit(a) == std::signbit(b);
}

void Compare(ElementType type, std::span<const uint16_t> got,
             std::span<const float> exact, HalfFindings& findings) {
  for (size_t i = 0; i < got.size(); ++i) {
    ++findings.results;
    if (!Same(HalfValue(type, got[i]), NearestHalf(type, exact[i])))
      ++findings.different;
  }
}

Expected Float32Results(const InstructionSet& set, ElementType type, int t) {
  std::vector<float> logits(kPatterns);
  for (size_t bits = 0; bits < kPatterns; ++bits) {
    logits[bits] =
        static_cast<float>(HalfValue(type, static_cast<uint16_t>(bits)));
  }
  Expected expected = {std::vector<float>(kPatterns),
                       std::vector<float>(kPatterns)};
  Run<float>(ElementType::kFloat32, logits, t)
      .Compute<float>(set, ElementType::kFloat32, expected.gradient,
                      expected.losses);
  return expected;
}

}  // namespace

double HalfValue(ElementType type, uint16_t bits) {
  const Format format = FormatOf(type);
  const int fraction = bits & ((1 << format.fraction_bits) - 1);
  const int exponent = (bits & 0x7fff) >> format.fraction_bits;
  double value;
  if (exponent == 2 * format.bias + 1) {
    value = fraction == 0 ? std::numeric_limits<double>::infinity()
                          : std::numeric_limits<double>::quiet_NaN();
  } else {
    const int implied = exponent == 0 ? 0 : 1 << format.fraction_bits;
    value = std::ldexp(implied + fraction, std::max(exponent, 1) - format.bias -
                                               format.fraction_bits);
  }
  return (bits & 0x8000) != 0 ? -value : value;
}

double NearestHalf(ElementType type, double value) {
  if (!std::isfinite(value) || value == 0) return value;
  const Format format = FormatOf(type);
  const int exponent = std::max(std::ilogb(value), 1 - format.bias);
  const double unit = std::ldexp(1.0, exponent - format.fraction_bits);
  const double rounded = std::nearbyint(value / unit) * unit;
  return std::fabs(rounded) < std::ldexp(1.0, format.bias + 1)
             ? rounded
             : std::copysign(std::numeric_limits<double>::infinity(), value);
}

HalfFindings CheckHalves(const InstructionSet& set) {
  HalfFindings findings;
  std::vector<uint16_t> logits(kPatterns);
  for (size_t i = 0; i < kPatterns; ++i) logits[i] = static_cast<uint16_t>(i);
  std::vector<uint16_t> gradient(kPatterns), losses(kPatterns);
  for (const ElementType type : kFormats) {
    for (const int t : {0, 1}) {
      const Expected expected = Float32Results(set, type, t);
      Run<uint16_t> run(type, logits, t);
      for (const ElementType gradient_type : kFormats) {
        run.Compute<uint16_t>(set, gradient_type, gradient, losses);
        Compare(type, losses, expected.losses, findings);
        Compare(gradient_type, gradient, expected.gradient, findings);
        run.Compute<uint16_t>(set, gradient_type, gradient, {});
        Compare(gradient_type, gradient, expected.gradient, findings);
      }
    }
  }
  return findings;
}

}  // namespace lossd::judge
