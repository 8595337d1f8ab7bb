#include "tests/judge/family.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/reference.h"
#include "tests/kernels/owned_segment.h"

namespace lossd::exhaustive {
namespace {

using kernels::ElementType;
using kernels::OwnedSegment;
using kernels::cpu::InstructionSet;

constexpr uint64_t kDrawn = 4096;  // elements of one draw
// Of how many elements the reference is judged too: one, MPFR takes its time.
constexpr uint64_t kJudgedTwice = 512;

// The unit of ulp.h, for either type.
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

// Half of them where results are neither constants nor the logit itself, half
// of any exponent from 2^-40 on.
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
}

void JudgeDraw(const InstructionSet& set, const Draw& draw,
               FamilyFindings& findings) {
  const Family& family = *findings.family;
  OwnedSegment owned(draw.type, {kDrawn});
  Fill(draw, owned);
  owned.Compute(set);
  const std::vector<double> losses = owned.losses();
  const std::vector<double> gradient = owned.gradient();
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
    if (i % kJudgedTwice != 0) continue;
    const WideElement judged = family.mpfr(in, draw);
    findings.reference_error = std::max(
        {findings.reference_error,
         static_cast<double>(judged.loss.DistanceOf(exact.losses[i]) /
                             loss_unit),
         static_cast<double>(judged.derivative.DistanceOf(exact.gradient[i]) /
                             gradient_unit)});
  }
  findings.samples += kDrawn;
}

}  // namespace

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
    // Its own generator: adding a family changes no other one's draws.
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

}  // namespace lossd::exhaustive
