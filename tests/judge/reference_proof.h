// The proof of ExactAt() (D15): how far its float64 is from MPFR's values.
#ifndef LOSSD_TESTS_JUDGE_REFERENCE_PROOF_H_
#define LOSSD_TESTS_JUDGE_REFERENCE_PROOF_H_

#include <cstdint>

namespace lossd::exhaustive {

// In units of the last place of float32, as in ulp.h.
struct ReferenceErrors {
  uint64_t logits = 0;
  double loss = 0;
  double gradient = 0;
};

// What the verdicts may be off by.
inline constexpr double kReferenceBound = 0x1p-27;

// Over `samples` drawn bit patterns of either sign, and the neighbours of
// powers of two and of the places where a formula, a digit or a result ends.
ReferenceErrors ProveReference(uint64_t samples, uint32_t seed);

}  // namespace lossd::exhaustive

#endif  // LOSSD_TESTS_JUDGE_REFERENCE_PROOF_H_
