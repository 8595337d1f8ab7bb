#include "tests/judge/families.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/reference/jet.h"
#include "kernels/reference/reference.h"
#include "tests/kernels/owned_segment.h"
#include "tests/kernels/second_derivative_size.h"

namespace lossd::judge {
namespace {

using kernels::ElementType;
using kernels::OwnedSegment;
using kernels::cpu::InstructionSet;

// --- The parts of which families are made, and the families. ---

double Uniform(Random& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

double Rounded(ElementType type, double value) {
  return type == ElementType::kFloat64 ? value : static_cast<float>(value);
}

void HardTargets(Random& random, Draw& draw) {
  for (double& t : draw.targets) t = static_cast<double>(random() % 2);
}

// Targets anywhere in [0, 1], half of them close to one of the ends.
void SoftTargets(Random& random, Draw& draw) {
  for (double& t : draw.targets) {
    const double small = std::exp(Uniform(random, -30, 0));
    const double from[] = {Uniform(random, 0, 1), Uniform(random, 0, 1), small,
                           1 - small};
    t = Rounded(draw.type, from[random() % 4]);
  }
}

// Returns factors from 1/100 to 100.
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

// Returns the absolute value of the larger of the two terms of a
// cross-entropy's derivative.
long double LargerTerm(const ElementInputs& in, const Draw&) {
  const long double t = in.t * (1 - in.smoothing) + in.smoothing / 2;
  const long double share = 1 / (1 + std::exp(-in.x));
  const long double mirrored = 1 / (1 + std::exp(in.x));
  return std::fabs(in.w) * std::max((1 - t) * share, t * in.q * mirrored);
}

long double SizeOfCrossEntropy(const ElementInputs& in, const Draw&) {
  const long double t = in.t * (1 - in.smoothing) + in.smoothing / 2;
  return std::fabs(in.w) * (t * in.q + 1 - t) *
         kernels::reference::SoftplusOf(in.x).second;
}

// The targets are hard.
long double SizeOfPowers(const ElementInputs& in, const Draw& draw) {
  return kernels::SecondDerivativeSize(draw.options, in.x, in.t == 1);
}

WideElement CrossEntropy(const ElementInputs& in, const Draw&) {
  return MpfrCrossEntropy(in);
}

// Largest logits of families. Where e^-|x| is subnormal it has few digits, and
// a factor shows how few: families with factors end before that.
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

void Poly(Random& random, Draw& draw) {
  Focal(random, draw);
  draw.options.kind = kernels::LossKind::kPoly;
  draw.options.poly_epsilon = Uniform(random, 0.1, 5);
}

void QualityFocal(Random& random, Draw& draw) {
  draw.options.kind = kernels::LossKind::kQualityFocal;
  const double gammas[] = {0.5, 1, 2, 2.5, 5};
  draw.options.focal_gamma = OneOf(random, gammas);
}

// A hard target of 1 has the cross-entropy, and one of 0 has a power.
void Varifocal(Random& random, Draw& draw) {
  Focal(random, draw);
  draw.options.kind = kernels::LossKind::kVarifocal;
}

// Draws a margin m and moves every probability away that is within m / 2 of it:
// there p - m cancels, and the loss has only the digits that are left. At 3 m /
// 2 an error of p is three times as large in p - m, and the power multiplies it
// with its exponent.
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

WideElement OthersByMpfr(const ElementInputs& in, const Draw& draw) {
  return MpfrOfKind(draw.options.kind, in, kernels::ParametersOf(draw.options));
}

WideElement AsymmetricByMpfr(const ElementInputs& in, const Draw& draw) {
  return MpfrAsymmetric(in, kernels::ParametersOf(draw.options));
}

using Parts = std::vector<void (*)(Random&, Draw&)>;

// Returns a family of the cross-entropy.
Family OfCrossEntropy(const char* name, ElementType type, double largest_logit,
                      Parts parts, double bound) {
  // With hard targets and weights alone the gradient has one term.
  const bool cancels =
      parts.front() == &SoftTargets || parts.back() == &Smoothing;
  return {name,
          type,
          largest_logit,
          std::move(parts),
          cancels ? &LargerTerm : nullptr,
          &SizeOfCrossEntropy,
          &CrossEntropy,
          {bound, bound, bound}};
}

// Returns the bound on drawn errors of a result that comes out of so many
// roundings, those of the parameters included. A rounding is at most half a
// unit off, and its standard deviation is 0.3 units. Independent roundings add
// like the square root of their number, and the largest of a million errors is
// five standard deviations off.
double AfterRoundings(int count) { return std::round(1.5 * std::sqrt(count)); }

// These are the roundings on the longest paths to the loss, the gradient and
// the second derivative of element functions. Some of them:
//   focal loss     3: alpha, the power's exponent, the result
//   its gradient   8: those, entropy, z, entropy z, times gamma, the bracket
//   its second    12: those of the gradient but for the first product, the
//                     inner bracket, z in it, times the sigmoid, the sigmoid,
//                     and the sum with (A + B) z
// A polynomial term adds its product with epsilon, the product of the other
// term with alpha, and their sum.
Bounds AfterRoundings(int loss, int gradient, int second) {
  return {AfterRoundings(loss), AfterRoundings(gradient),
          AfterRoundings(second)};
}

// Returns a family of a loss with powers, for hard targets.
Family OfPowers(const char* name, ElementType type, Parts parts,
                WideElement (*mpfr)(const ElementInputs&, const Draw&),
                const Bounds& bounds) {
  parts.insert(parts.begin(), &HardTargets);
  return {name,
          type,
          type == ElementType::kFloat64 ? kNormal64 : kNormal32,
          std::move(parts),
          nullptr,
          &SizeOfPowers,
          mpfr,
          bounds};
}

constexpr ElementType kF32 = ElementType::kFloat32;
constexpr ElementType kF64 = ElementType::kFloat64;

// --- Drawing and judging. ---

constexpr uint64_t kDrawn = 4096;  // elements of one draw
// For one of so many elements the reference is judged by MPFR, which is slow.
constexpr uint64_t kJudgedTwice = 512;

// Returns the unit of ulp.h for either type.
long double UnitOf(ElementType type, long double exact) {
  const bool wide = type == ElementType::kFloat64;
  int exponent = 0;
  std::frexp(exact, &exponent);  // 2^(exponent - 1) <= |exact| < 2^exponent
  const int least = wide ? std::numeric_limits<double>::min_exponent
                         : std::numeric_limits<float>::min_exponent;
  const int digits = wide ? std::numeric_limits<double>::digits
                          : std::numeric_limits<float>::digits;
  const int binade = exact == 0 ? least : std::max(exponent, least);
  return std::ldexp(1.0L, binade - digits);
}

// Draws half of the logits where results are neither constants nor the logit
// itself, and half of them with any exponent from 2^-40 on.
std::vector<double> DrawLogits(Random& random, const Family& family) {
  std::uniform_real_distribution<double> middle(-20, 20),
      exponent(-40, std::log2(family.largest_logit));
  std::vector<double> logits(kDrawn);
  for (double& x : logits) {
    const bool any = random() % 2 == 0;
    x = any ? std::exp2(exponent(random)) : middle(random);
    if (random() % 2 == 0) x = -x;
    if (family.type == ElementType::kFloat32) x = static_cast<float>(x);
  }
  return logits;
}

Draw DrawFrom(Random& random, const Family& family) {
  Draw draw;
  draw.type = family.type;
  draw.options.reduction = kernels::Reduction::kNone;
  draw.logits = DrawLogits(random, family);
  draw.targets.resize(kDrawn);
  for (const auto part : family.parts) part(random, draw);
  return draw;
}

void Fill(const Draw& draw, OwnedSegment& owned) {
  owned.segment.options = draw.options;
  owned.SetLogits(draw.logits);
  owned.SetTargets(draw.type, draw.targets);
  if (!draw.weights.empty()) owned.SetWeights(draw.weights, {1}, draw.type);
  if (!draw.pos_weight.empty())
    owned.SetPosWeight(draw.pos_weight, {1}, draw.type);
  owned.WantLosses();
  owned.WantSecondDerivative();
}

void JudgeDraw(const InstructionSet& set, const Draw& draw,
               FamilyFindings& findings) {
  const Family& family = *findings.family;
  OwnedSegment owned(draw.type, {kDrawn});
  Fill(draw, owned);
  owned.Compute(set);
  const std::vector<double> losses = owned.losses();
  const std::vector<double> gradient = owned.gradient();
  const std::vector<double> second = owned.second_derivative();
  const auto exact = kernels::reference::Compute(owned.segment);
  for (size_t i = 0; i < kDrawn; ++i) {
    const ElementInputs in = draw.At(i);
    const long double loss_unit = UnitOf(draw.type, exact.losses[i]);
    const long double gradient_unit =
        UnitOf(draw.type, family.larger_term == nullptr
                              ? exact.gradient[i]
                              : family.larger_term(in, draw));
    const auto ulps = [](long double got, long double wanted,
                         long double unit) {
      return static_cast<double>(std::fabs(got - wanted) / unit);
    };
    findings.loss.Add(in, ulps(losses[i], exact.losses[i], loss_unit));
    findings.gradient.Add(in,
                          ulps(gradient[i], exact.gradient[i], gradient_unit));
    const long double second_unit =
        UnitOf(draw.type, family.second_size(in, draw));
    findings.second.Add(
        in, ulps(second[i], exact.second_derivative[i], second_unit));
    if (i % kJudgedTwice != 0) continue;
    const WideElement judged = family.mpfr(in, draw);
    findings.reference_error = std::max(
        {findings.reference_error,
         static_cast<double>(judged.loss.DistanceOf(exact.losses[i]) /
                             loss_unit),
         static_cast<double>(judged.derivative.DistanceOf(exact.gradient[i]) /
                             gradient_unit),
         static_cast<double>(
             judged.second.DistanceOf(exact.second_derivative[i]) /
             second_unit)});
  }
  findings.samples += kDrawn;
}

}  // namespace

std::span<const Family> Families() {
  const Bounds focal = AfterRoundings(3, 8, 12);
  const Bounds asymmetric = AfterRoundings(2, 7, 12);  // they have no alpha
  const Bounds poly = AfterRoundings(7, 10, 14);
  // The rounding of p - m enters with gamma + 1, which is up to 5.
  const Bounds margin = {12, 12, 12};
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
      OfPowers("focal", kF32, {&Focal}, &FocalByMpfr, focal),
      OfPowers("focal", kF64, {&Focal}, &FocalByMpfr, focal),
      OfPowers("asymmetric", kF32, {&Asymmetric}, &AsymmetricByMpfr,
               asymmetric),
      OfPowers("asymmetric", kF64, {&Asymmetric}, &AsymmetricByMpfr,
               asymmetric),
      OfPowers("asymmetric, margin", kF32, {&Asymmetric, &Margin},
               &AsymmetricByMpfr, margin),
      OfPowers("poly", kF32, {&Poly}, &OthersByMpfr, poly),
      OfPowers("poly", kF64, {&Poly}, &OthersByMpfr, poly),
      OfPowers("quality focal", kF32, {&QualityFocal}, &OthersByMpfr,
               asymmetric),
      OfPowers("varifocal", kF32, {&Varifocal}, &OthersByMpfr, focal),
  };
  return families;
}

ElementInputs Draw::At(size_t i) const {
  ElementInputs in;
  in.x = logits[i];
  in.t = targets[i];
  if (!pos_weight.empty()) in.q = pos_weight[i];
  if (!weights.empty()) in.w = weights[i];
  in.smoothing = options.label_smoothing;
  return in;
}

void SampleTally::Add(const ElementInputs& in, double ulps) {
  if (ulps != ulps) ulps = std::numeric_limits<double>::infinity();
  AddTo(histogram, ulps);
  if (ulps > max) {
    max = ulps;
    worst = in;
  }
}

std::vector<FamilyFindings> JudgeFamilies(const InstructionSet& set,
                                          uint64_t samples, uint32_t seed) {
  std::vector<FamilyFindings> all;
  for (const Family& family : Families()) {
    // Each family has its own generator, so that a new family changes no other
    // family's draws.
    Random random(seed);
    FamilyFindings findings;
    findings.family = &family;
    while (findings.samples < samples) {
      JudgeDraw(set, DrawFrom(random, family), findings);
    }
    all.push_back(findings);
  }
  return all;
}

}  // namespace lossd::judge
