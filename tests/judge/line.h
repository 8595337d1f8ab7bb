// A line of logits, in order of their values, and what should come out.
#ifndef LOSSD_TESTS_JUDGE_LINE_H_
#define LOSSD_TESTS_JUDGE_LINE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lossd::exhaustive {

// Loss and gradient of a line, for one target.
struct Results {
  std::vector<float> losses;
  std::vector<float> gradient;
};

// The exact values for target 0, in float64.
struct Exact {
  double loss;
  double gradient;
};
Exact ExactAt(float x);

// Logits -m[n], ..., -m[0], m[0], ..., m[n] for rising magnitudes m. The
// outermost ones belong to the next line: they are there to be neighbours, and
// may be infinite.
class Line {
 public:
  // `magnitudes` are bits of floats that are not negative; at least two.
  explicit Line(std::span<const uint32_t> magnitudes);

  std::span<const float> logits() const { return logits_; }
  size_t size() const { return logits_.size(); }
  // The logit at the mirror of `i` is minus that at `i`.
  size_t Mirror(size_t i) const { return logits_.size() - 1 - i; }
  // For target `t`, 0 or 1; not of the outermost ones. The exact values are
  // symmetric: L(x, 1) = L(-x, 0), and the derivative likewise but for its
  // sign.
  Exact At(size_t i, int t) const {
    if (t == 0) return exact_[i];
    const Exact& mirrored = exact_[Mirror(i)];
    return {mirrored.loss, -mirrored.gradient};
  }

 private:
  std::vector<float> logits_;
  std::vector<Exact> exact_;
};

}  // namespace lossd::exhaustive

#endif  // LOSSD_TESTS_JUDGE_LINE_H_
