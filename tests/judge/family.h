// Families of requests that cannot be enumerated: drawn at random, and judged
// against the reference in long double, which MPFR judges in turn.
#ifndef LOSSD_TESTS_JUDGE_FAMILY_H_
#define LOSSD_TESTS_JUDGE_FAMILY_H_

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "kernels/sigmoid_loss.h"
#include "tests/judge/mpfr_judge.h"
#include "tests/judge/ulp.h"

namespace lossd::exhaustive {

using Random = std::mt19937_64;

// What is drawn: some elements under the same options. Values are those of the
// family's type.
struct Draw {
  kernels::ElementType type;
  kernels::LossOptions options;
  std::vector<double> logits;
  std::vector<double> targets;
  std::vector<double> weights;     // empty: none
  std::vector<double> pos_weight;  // empty: none

  ElementInputs At(size_t i) const;
};

// A family is an entry of Families(): adding one is adding a line there.
struct Family {
  const char* name;
  kernels::ElementType type;
  double largest_logit;
  // Each fills in a part of the draw; the logits are drawn before.
  std::vector<void (*)(Random&, Draw&)> parts;
  // Errors of the gradient are in units of the larger of the two terms that it
  // is the difference of, where it may cancel; nullptr: of itself.
  long double (*larger_term)(const ElementInputs&, const Draw&);
  WideElement (*mpfr)(const ElementInputs&, const Draw&);
  double bound;  // on both maxima, in ulps
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
  double reference_error = 0;  // largest, in the same units
};

// About `samples` elements of each family, by `set`.
std::vector<FamilyFindings> JudgeFamilies(
    const kernels::cpu::InstructionSet& set, uint64_t samples, uint32_t seed);

}  // namespace lossd::exhaustive

#endif  // LOSSD_TESTS_JUDGE_FAMILY_H_
