// A request of any kind, decided by a seed.
#ifndef LOSSD_TESTS_INTEGRATION_RANDOM_REQUEST_H_
#define LOSSD_TESTS_INTEGRATION_RANDOM_REQUEST_H_

#include <cstdint>
#include <random>
#include <vector>

#include "lossd/v1/loss_service.pb.h"

namespace lossd {

// Any loss, reduction and normalizer; most dtypes; every way of giving targets
// but shared memory; with and without operands. Its elements are right.
class RandomRequest {
 public:
  explicit RandomRequest(unsigned seed) : random_(seed) {}

  v1::ComputeLossRequest Make();

  std::mt19937& random() { return random_; }

 private:
  unsigned Below(unsigned n) { return static_cast<unsigned>(random_() % n); }

  void MakeSpec();
  // Around a block, several blocks, several windows; empty and rank 0.
  std::vector<int64_t> Shape();
  void MakeTargets(const std::vector<int64_t>& shape);
  // Of the logits' shape, of one element, or with some dimensions repeated.
  void MakeOperand(v1::Tensor* operand, std::vector<int64_t> shape);
  void MakeUpstream(const std::vector<int64_t>& shape);

  std::mt19937 random_;
  v1::ComputeLossRequest request_;
};

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_RANDOM_REQUEST_H_
