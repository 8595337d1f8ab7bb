// The families, and how their parts are drawn.
#include <algorithm>
#include <cmath>
#include <utility>

#include "tests/judge/family.h"

namespace lossd::exhaustive {
namespace {

using kernels::ElementType;

double Uniform(Random& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

double Rounded(ElementType type, double value) {
  return type == ElementType::kFloat64 ? value : static_cast<float>(value);
}

void HardTargets(Random& random, Draw& draw) {
  for (double& t : draw.targets) t = static_cast<double>(random() % 2);
}

// Anywhere in [0, 1], and close to either end.
void SoftTargets(Random& random, Draw& draw) {
  for (double& t : draw.targets) {
    const double small = std::exp(Uniform(random, -30, 0));
    const double from[] = {Uniform(random, 0, 1), Uniform(random, 0, 1), small,
                           1 - small};
    t = Rounded(draw.type, from[random() % 4]);
  }
}

// From 1/100 to 100.
std::vector<double> Factors(Random& random, const Draw& draw) {
  std::vector<double> factors(draw.logits.size());
  for (double& factor : factors) {
    factor = Rounded(draw.type, std::exp(Uniform(random, -4.6, 4.6)));
  }
  return factors;
}

void Weights(Random& random, Draw& draw) {
  draw.weights = Factors(random, draw);
}

void PosWeight(Random& random, Draw& draw) {
  draw.pos_weight = Factors(random, draw);
}

void Smoothing(Random& random, Draw& draw) {
  draw.options.label_smoothing = std::exp(Uniform(random, -12, -0.5));
}

// The two terms of the derivative of a cross-entropy, in absolute value.
long double LargerTerm(const ElementInputs& in, const Draw&) {
  const long double t = in.t * (1 - in.smoothing) + in.smoothing / 2;
  const long double share = 1 / (1 + std::exp(-in.x));
  const long double mirrored = 1 / (1 + std::exp(in.x));
  return std::fabs(in.w) * std::max((1 - t) * share, t * in.q * mirrored);
}

WideElement CrossEntropy(const ElementInputs& in, const Draw&) {
  return MpfrCrossEntropy(in);
}

// Where e^-|x| is subnormal it has few digits, and a factor shows how few:
// families with factors end before.
constexpr double kNormal32 = 80;
constexpr double kNormal64 = 700;
constexpr double kAll32 = 3e38;
constexpr double kAll64 = 1e308;

double OneOf(Random& random, std::span<const double> values) {
  return values[random() % values.size()];
}

void Focal(Random& random, Draw& draw) {
  draw.options.kind = kernels::LossKind::kSigmoidFocal;
  const double gammas[] = {0, 0.5, 1, 2, 2.5, 5};
  draw.options.focal_gamma = OneOf(random, gammas);
  if (random() % 2 == 0) draw.options.focal_alpha = Uniform(random, 0.05, 0.95);
}

void Asymmetric(Random& random, Draw& draw) {
  draw.options.kind = kernels::LossKind::kAsymmetric;
  const double gammas[] = {0, 0.5, 1, 2, 4};
  draw.options.asymmetric_gamma_positive = OneOf(random, gammas);
  draw.options.asymmetric_gamma_negative = OneOf(random, gammas);
}

// Of margin m, with no probability within m / 2 of it: there p - m cancels, and
// the loss has the digits that are left of it. At 3 m / 2 an error of p is
// three times as large in p - m, which the power then multiplies with its
// exponent.
void Margin(Random& random, Draw& draw) {
  const double margin = Rounded(draw.type, Uniform(random, 0.01, 0.3));
  draw.options.asymmetric_margin = margin;
  for (double& x : draw.logits) {
    const double p = 1 / (1 + std::exp(-x));
    if (p > margin / 2 && p < margin * 1.5) x = Rounded(draw.type, x + 3);
  }
}

WideElement FocalByMpfr(const ElementInputs& in, const Draw& draw) {
  return MpfrFocal(in, kernels::ParametersOf(draw.options));
}

WideElement AsymmetricByMpfr(const ElementInputs& in, const Draw& draw) {
  return MpfrAsymmetric(in, kernels::ParametersOf(draw.options));
}

using Parts = std::vector<void (*)(Random&, Draw&)>;

// `bound` as README.md states it: what a factor multiplies is rounded already.
Family OfCrossEntropy(const char* name, ElementType type, double largest_logit,
                      Parts parts, double bound) {
  // Weights alone leave a hard target's gradient one term.
  const bool cancels =
      parts.front() == &SoftTargets || parts.back() == &Smoothing;
  return {name,
          type,
          largest_logit,
          std::move(parts),
          cancels ? &LargerTerm : nullptr,
          &CrossEntropy,
          bound};
}

constexpr ElementType kF32 = ElementType::kFloat32;
constexpr ElementType kF64 = ElementType::kFloat64;

}  // namespace

std::span<const Family> Families() {
  static const std::vector<Family> families = {
      OfCrossEntropy("soft targets", kF32, kAll32, {&SoftTargets}, 2),
      OfCrossEntropy("weights", kF32, kNormal32, {&HardTargets, &Weights}, 2),
      OfCrossEntropy("pos_weight", kF32, kNormal32, {&HardTargets, &PosWeight},
                     2),
      OfCrossEntropy("label smoothing", kF32, kNormal32,
                     {&HardTargets, &Smoothing}, 4),
      OfCrossEntropy("all of these", kF32, kNormal32,
                     {&SoftTargets, &Weights, &PosWeight, &Smoothing}, 6),
      OfCrossEntropy("hard targets", kF64, kAll64, {&HardTargets}, 2),
      OfCrossEntropy("soft targets", kF64, kAll64, {&SoftTargets}, 2),
      OfCrossEntropy("all of these", kF64, kNormal64,
                     {&SoftTargets, &Weights, &PosWeight, &Smoothing}, 8),
      {"focal",
       kF32,
       kNormal32,
       {&HardTargets, &Focal},
       nullptr,
       &FocalByMpfr,
       4},
      {"focal",
       kF64,
       kNormal64,
       {&HardTargets, &Focal},
       nullptr,
       &FocalByMpfr,
       4},
      {"asymmetric",
       kF32,
       kNormal32,
       {&HardTargets, &Asymmetric},
       nullptr,
       &AsymmetricByMpfr,
       4},
      {"asymmetric",
       kF64,
       kNormal64,
       {&HardTargets, &Asymmetric},
       nullptr,
       &AsymmetricByMpfr,
       4},
      {"asymmetric, margin",
       kF32,
       kNormal32,
       {&HardTargets, &Asymmetric, &Margin},
       nullptr,
       &AsymmetricByMpfr,
       12},
  };
  return families;
}

}  // namespace lossd::exhaustive
