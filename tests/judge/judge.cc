#include "tests/judge/judge.h"

#include <bit>
#include <cmath>
#include <cstddef>

namespace lossd::exhaustive {
namespace {

// 1 where values must not fall along the line, -1 where they must not rise.
void CountSteps(const Line& line, const std::vector<float>& values, float sign,
                Violations& violations) {
  const auto logits = line.logits();
  for (size_t i = 0; i + 1 < values.size(); ++i) {
    const bool same = logits[i] == logits[i + 1];  // -0 and +0, or padding
    if (same && std::isinf(logits[i])) continue;
    if (!(sign * values[i] <= sign * values[i + 1]) ||
        (same && values[i] != values[i + 1])) {
      violations.Add(logits[i]);
    }
  }
}

}  // namespace

void Judge(const Line& line, const std::array<Results, 2>& results,
           FormTally& tally) {
  const auto logits = line.logits();
  for (const int t : {0, 1}) {
    const Results& of_t = results[t];
    for (size_t i = 1; i + 1 < line.size(); ++i) {
      if (std::isinf(logits[i])) continue;  // what fills the last line
      const Exact exact = line.At(i, t);
      tally.loss[t].Add(logits[i], of_t.losses[i], exact.loss);
      tally.gradient[t].Add(logits[i], of_t.gradient[i], exact.gradient);
    }
    CountSteps(line, of_t.losses, t == 0 ? 1.0f : -1.0f, tally.loss_steps[t]);
    CountSteps(line, of_t.gradient, 1.0f, tally.gradient_steps[t]);
  }
  const auto bits = [](float value) { return std::bit_cast<uint32_t>(value); };
  for (size_t i = 1; i + 1 < line.size(); ++i) {
    const size_t mirror = line.Mirror(i);
    if (bits(results[1].losses[i]) != bits(results[0].losses[mirror]))
      tally.loss_symmetry.Add(logits[i]);
    if (bits(results[1].gradient[i]) != bits(-results[0].gradient[mirror]))
      tally.gradient_symmetry.Add(logits[i]);
  }
}

void FormTally::Merge(const FormTally& other) {
  for (const int t : {0, 1}) {
    loss[t].Merge(other.loss[t]);
    gradient[t].Merge(other.gradient[t]);
    loss_steps[t].Merge(other.loss_steps[t]);
    gradient_steps[t].Merge(other.gradient_steps[t]);
  }
  loss_symmetry.Merge(other.loss_symmetry);
  gradient_symmetry.Merge(other.gradient_symmetry);
}

}  // namespace lossd::exhaustive
