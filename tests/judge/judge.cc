#include "tests/judge/judge.h"

#include <bit>
#include <cmath>

namespace lossd::judge {
namespace {

// The exact values at some x >= 0 and at -x.
struct Mirrored {
  Exact at;
  Exact at_minus;
};

// All terms of a sum have one sign, so each value is a few roundings of float64
// away from the exact one. ProveReference() measures the distance.
Mirrored MirroredAt(double x) {
  const double z = std::exp(-x);
  const double sum = 1 + z;
  const double log1p = std::log1p(z);
  const double second = z / (sum * sum);
  return {{x + log1p, 1 / sum, second}, {log1p, z / sum, second}};
}

// Counts steps the wrong way. `sign_at(x)` is 1 where values must not fall
// along the line from x on, -1 where they must not rise.
template <class SignAt>
void CountSteps(const Line& line, const std::vector<float>& values,
                SignAt sign_at, Violations& violations) {
  const auto logits = line.logits();
  for (size_t i = 0; i + 1 < values.size(); ++i) {
    const float sign = sign_at(logits[i]);
    const bool same = logits[i] == logits[i + 1];  // -0 and +0, or padding
    if (same && std::isinf(logits[i])) continue;
    if (!(sign * values[i] <= sign * values[i + 1]) ||
        (same && values[i] != values[i + 1])) {
      violations.Add(logits[i]);
    }
  }
}

}  // namespace

Exact ExactAt(float x) {
  const Mirrored both = MirroredAt(std::fabs(x));
  return std::signbit(x) ? both.at_minus : both.at;
}

Line::Line(std::span<const uint32_t> magnitudes)
    : logits_(2 * magnitudes.size()), exact_(2 * magnitudes.size()) {
  const size_t n = magnitudes.size();
  for (size_t k = 0; k < n; ++k) {
    const float y = std::bit_cast<float>(magnitudes[k]);
    logits_[n + k] = y;
    logits_[n - 1 - k] = -y;
    const Mirrored both = MirroredAt(y);
    exact_[n + k] = both.at;
    exact_[n - 1 - k] = both.at_minus;
  }
}

void Judge(const Line& line, const std::array<Results, 2>& results,
           FormTally& tally) {
  const auto logits = line.logits();
  for (const int t : {0, 1}) {
    const Results& of_t = results[t];
    for (size_t i = 1; i + 1 < line.size(); ++i) {
      if (std::isinf(logits[i])) continue;  // the padding of the last line
      const Exact exact = line.At(i, t);
      tally.loss[t].Add(logits[i], of_t.losses[i], exact.loss);
      tally.gradient[t].Add(logits[i], of_t.gradient[i], exact.gradient);
      if (of_t.second.empty()) continue;
      tally.second[t].Add(logits[i], of_t.second[i], exact.second);
    }
    const float loss_sign = t == 0 ? 1.0f : -1.0f;
    CountSteps(
        line, of_t.losses, [=](float) { return loss_sign; },
        tally.loss_steps[t]);
    CountSteps(
        line, of_t.gradient, [](float) { return 1.0f; },
        tally.gradient_steps[t]);
    CountSteps(
        line, of_t.second,
        [](float x) { return std::signbit(x) ? 1.0f : -1.0f; },
        tally.second_steps[t]);
  }
  const auto bits = [](float value) { return std::bit_cast<uint32_t>(value); };
  for (size_t i = 1; i + 1 < line.size(); ++i) {
    const size_t mirror = line.Mirror(i);
    if (bits(results[1].losses[i]) != bits(results[0].losses[mirror]))
      tally.loss_symmetry.Add(logits[i]);
    if (bits(results[1].gradient[i]) != bits(-results[0].gradient[mirror]))
      tally.gradient_symmetry.Add(logits[i]);
    if (results[0].second.empty()) continue;
    if (bits(results[1].second[i]) != bits(results[0].second[mirror]))
      tally.second_symmetry.Add(logits[i]);
  }
}

void FormTally::Merge(const FormTally& other) {
  for (const int t : {0, 1}) {
    loss[t].Merge(other.loss[t]);
    gradient[t].Merge(other.gradient[t]);
    second[t].Merge(other.second[t]);
    loss_steps[t].Merge(other.loss_steps[t]);
    gradient_steps[t].Merge(other.gradient_steps[t]);
    second_steps[t].Merge(other.second_steps[t]);
  }
  loss_symmetry.Merge(other.loss_symmetry);
  gradient_symmetry.Merge(other.gradient_symmetry);
  second_symmetry.Merge(other.second_symmetry);
}

}  // namespace lossd::judge
