// Lines of logits with their exact values, and the judgement over the results
// that a form (our kernel, a framework's formula) gives for them.
#ifndef LOSSD_TESTS_JUDGE_JUDGE_H_
#define LOSSD_TESTS_JUDGE_JUDGE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tests/judge/ulp.h"

namespace lossd::judge {

// Loss and derivatives of a line, for one target.
struct Results {
  std::vector<float> losses;
  std::vector<float> gradient;
  std::vector<float> second;
};

// The exact values at a logit, in float64.
struct Exact {
  double loss;
  double gradient;
  double second;
};

// Returns the exact values at x for target 0.
Exact ExactAt(float x);

// Logits -m[n], ..., -m[0], m[0], ..., m[n] for rising magnitudes m, with their
// exact values. The outermost logits belong to the next line: they serve only
// as neighbours and may be infinite.
class Line {
 public:
  // `magnitudes` has the bits of at least two floats that are not negative.
  explicit Line(std::span<const uint32_t> magnitudes);

  std::span<const float> logits() const { return logits_; }
  size_t size() const { return logits_.size(); }
  // Returns the index of the logit that is minus the logit at `i`.
  size_t Mirror(size_t i) const { return logits_.size() - 1 - i; }
  // Returns the exact values at logit `i`, not an outermost one, for target
  // `t`, which is 0 or 1. Those of target 1 follow from L(x, 1) = L(-x, 0).
  Exact At(size_t i, int t) const {
    if (t == 0) return exact_[i];
    const Exact& mirrored = exact_[Mirror(i)];
    return {mirrored.loss, -mirrored.gradient, mirrored.second};
  }

 private:
  std::vector<float> logits_;
  std::vector<Exact> exact_;
};

// Errors and violations of one form over many logits. Arrays are indexed by the
// target.
struct FormTally {
  std::array<UlpTally, 2> loss;
  std::array<UlpTally, 2> gradient;
  std::array<UlpTally, 2> second;
  // Steps the wrong way between neighbours in order of value: a loss that falls
  // (for target 1: rises), a gradient that falls, a second derivative that
  // rises away from 0, and any difference between -0 and +0.
  std::array<Violations, 2> loss_steps;
  std::array<Violations, 2> gradient_steps;
  std::array<Violations, 2> second_steps;
  // Logits for which L(x, 1) and L(-x, 0) have different bits, or the second
  // derivatives have, and those for which the two gradients differ in more than
  // the sign.
  Violations loss_symmetry;
  Violations gradient_symmetry;
  Violations second_symmetry;

  void Merge(const FormTally& other);
};

// Adds a line to `tally`. `results` has one entry for each target. A form
// without second derivatives leaves them empty. Errors at the outermost logits
// are not counted.
void Judge(const Line& line, const std::array<Results, 2>& results,
           FormTally& tally);

}  // namespace lossd::judge

#endif  // LOSSD_TESTS_JUDGE_JUDGE_H_
