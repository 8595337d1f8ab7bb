// Makes valid requests of every kind from a seed.
#ifndef LOSSD_TESTS_INTEGRATION_RANDOM_REQUEST_H_
#define LOSSD_TESTS_INTEGRATION_RANDOM_REQUEST_H_

#include <cstdint>
#include <random>
#include <vector>

#include "lossd/v1/loss_service.pb.h"

namespace lossd {

// Makes a request with valid elements. The seed chooses the loss, the
// reduction, the normalizer, the dtypes (most of them), the form of the targets
// (any but shared memory), and which operands are present.
class RandomRequest {
 public:
  explicit RandomRequest(unsigned seed) : random_(seed) {}

  v1::ComputeLossRequest Make();

  std::mt19937& random() { return random_; }

 private:
  unsigned Below(unsigned n) { return static_cast<unsigned>(random_() % n); }

  void MakeSpec();
  // Sets parameters of the kind.
  void MakeKind(v1::LossSpec& spec);
  // Returns a shape near the size of a block, of several blocks or of several
  // windows, or an empty shape, or rank 0.
  std::vector<int64_t> Shape();
  void MakeTargets(const std::vector<int64_t>& shape);
  // Gives `operand` the logits' shape, one element, or a shape that broadcasts.
  void MakeOperand(v1::Tensor* operand, std::vector<int64_t> shape);
  void MakeUpstream(const std::vector<int64_t>& shape);

  std::mt19937 random_;
  v1::ComputeLossRequest request_;
};

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_RANDOM_REQUEST_H_
