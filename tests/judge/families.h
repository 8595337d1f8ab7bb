// Families of requests that cannot be enumerated: drawn at random, and judged
// against the reference in long double, which MPFR judges in turn.
#ifndef LOSSD_TESTS_JUDGE_FAMILIES_H_
#define LOSSD_TESTS_JUDGE_FAMILIES_H_

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "kernels/sigmoid_loss.h"
#include "tests/judge/mpfr_judge.h"
#include "tests/judge/ulp.h"

namespace lossd::judge {

using Random = std::mt19937_64;

// Drawn elements under common options. Their values are of the family's type.
struct Draw {
  kernels::ElementType type;
  kernels::LossOptions options;
  std::vector<double> logits;
  std::vector<double> targets;
  std::vector<double> weights;     // empty if there are none
  std::vector<double> pos_weight;  // empty if there are none

  ElementInputs At(size_t i) const;
};

// The largest errors, in ulps, that the outputs of a family may have.
struct Bounds {
  double loss;
  double gradient;
  double second;
};

// A family of requests: an entry of Families().
struct Family {
  const char* name;
  kernels::ElementType type;
  double largest_logit;
  // Each function fills in a part of the draw. The logits are drawn before.
  std::vector<void (*)(Random&, Draw&)> parts;
  // Where the gradient is a difference that may cancel, this is the larger of
  // its two terms, and gradient errors are in units of it. If null, they are in
  // units of the gradient itself.
  long double (*larger_term)(const ElementInputs&, const Draw&);
  // The sum of the sizes of the second derivative's terms, which may cancel:
  // its errors are in units of this sum.
  long double (*second_size)(const ElementInputs&, const Draw&);
  WideElement (*mpfr)(const ElementInputs&, const Draw&);
  Bounds bounds;
};
std::span<const Family> Families();

struct SampleTally {
  Histogram histogram{};
  double max = 0;
  ElementInputs worst{};

  void Add(const ElementInputs& in, double ulps);
};

struct FamilyFindings {
  const Family* family = nullptr;
  uint64_t samples = 0;
  SampleTally loss;
  SampleTally gradient;
  SampleTally second;
  double reference_error = 0;  // largest, in the same units
};

// Judges at least `samples` elements of each family, computed by `set`.
std::vector<FamilyFindings> JudgeFamilies(
    const kernels::cpu::InstructionSet& set, uint64_t samples, uint32_t seed);

}  // namespace lossd::judge

#endif  // LOSSD_TESTS_JUDGE_FAMILIES_H_
