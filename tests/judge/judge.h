// What a form (our kernel, a framework's formula) did over lines of logits.
#ifndef LOSSD_TESTS_JUDGE_JUDGE_H_
#define LOSSD_TESTS_JUDGE_JUDGE_H_

#include <array>

#include "tests/judge/line.h"
#include "tests/judge/ulp.h"

namespace lossd::exhaustive {

struct FormTally {
  // Index: the target.
  std::array<UlpTally, 2> loss;
  std::array<UlpTally, 2> gradient;
  // A loss that falls where it must not (target 1: rises), a gradient that
  // falls, between neighbours in order of value; -0 and +0 differing.
  std::array<Violations, 2> loss_steps;
  std::array<Violations, 2> gradient_steps;
  // L(x, 1) and L(-x, 0) of different bits; of the gradient but for the sign.
  Violations loss_symmetry;
  Violations gradient_symmetry;

  void Merge(const FormTally& other);
};

// Adds a line. `results` has one entry for each target. The outermost logits
// are neighbours only; their errors are not counted.
void Judge(const Line& line, const std::array<Results, 2>& results,
           FormTally& tally);

}  // namespace lossd::exhaustive

#endif  // LOSSD_TESTS_JUDGE_JUDGE_H_
