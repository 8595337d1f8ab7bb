#include "tests/integration/attack.h"

#include <algorithm>
#include <iterator>

namespace lossd {
namespace {

// Refers to `needed` bytes of some region. Half of the references end where the
// region ends, and a few exceed it or have a wrong size.
v1::SharedMemoryRef SomeBytes(Random& random, Targets& targets,
                              uint64_t needed) {
  v1::SharedMemoryRef ref;
  ref.set_region(targets.Any(random));
  ref.set_byte_size(needed);
  const uint64_t last = needed <= kBytes ? kBytes - needed : 0;
  ref.set_offset(OneIn(random, 2) ? last : random() % (last + 1));
  if (OneIn(random, 40)) ref.set_offset(last + 1);
  if (OneIn(random, 40)) ref.set_offset(~uint64_t{0} - random() % kBytes);
  if (OneIn(random, 40)) ref.set_byte_size(needed + random() % 3 - 1);
  if (OneIn(random, 80)) ref.set_byte_size(~uint64_t{0} - ref.offset() + 1);
  return ref;
}

uint64_t BytesOf(v1::DataType dtype, uint64_t count) {
  switch (dtype) {
    case v1::DATA_TYPE_FLOAT64:
    case v1::DATA_TYPE_INT64:
      return count * 8;
    case v1::DATA_TYPE_FLOAT32:
    case v1::DATA_TYPE_INT32:
      return count * 4;
    case v1::DATA_TYPE_BFLOAT16:
    case v1::DATA_TYPE_FLOAT16:
    case v1::DATA_TYPE_INT16:
      return count * 2;
    case v1::DATA_TYPE_BIT:
      return (count + 7) / 8;
    default:
      return count;
  }
}

// Returns one of the first `kinds` types in the proto, which numbers them
// from 1.
v1::DataType SomeDtype(Random& random, int kinds) {
  return static_cast<v1::DataType>(1 + random() % static_cast<unsigned>(kinds));
}

constexpr int kFloats = 4;     // FLOAT32 to FLOAT16
constexpr int kAnyDtype = 13;  // every type
constexpr int kLossKinds = 3;

v1::LossSpec SomeSpec(Random& random) {
  v1::LossSpec spec;
  spec.set_kind(static_cast<v1::LossKind>(1 + random() % kLossKinds));
  if (spec.kind() == v1::LOSS_KIND_SIGMOID_FOCAL) spec.set_focal_gamma(2);
  if (spec.kind() == v1::LOSS_KIND_ASYMMETRIC) {
    spec.set_asymmetric_gamma_negative(4);
  }
  if (OneIn(random, 3)) {
    spec.set_reduction(v1::REDUCTION_NONE);
  } else {
    constexpr v1::Reduction kMeans[] = {v1::REDUCTION_MEAN, v1::REDUCTION_ROWS,
                                        v1::REDUCTION_MEAN_OF_ROWS};
    spec.set_reduction(kMeans[random() % 3]);
    spec.set_normalizer(OneIn(random, 2) ? v1::NORMALIZER_VALID
                                         : v1::NORMALIZER_WEIGHT_SUM);
  }
  spec.set_nan_policy(OneIn(random, 3) ? v1::NAN_POLICY_REJECT
                                       : v1::NAN_POLICY_PROPAGATE);
  if (OneIn(random, 3)) spec.set_ignore_target(0);
  spec.set_gradient_dtype(SomeDtype(random, kFloats));
  return spec;
}

}  // namespace

v1::ComputeLossRequest SomeAttack(Random& random, Targets& targets) {
  constexpr uint64_t kCounts[] = {1, 63, 2048, 2049, 8191, 30000};
  const uint64_t count = kCounts[random() % std::size(kCounts)];
  v1::ComputeLossRequest request;
  *request.mutable_spec() = SomeSpec(random);
  const auto refer = [&](v1::Tensor* tensor, int kinds) {
    const v1::DataType dtype = SomeDtype(random, kinds);
    tensor->set_dtype(dtype);
    tensor->add_shape(static_cast<int64_t>(count));
    *tensor->mutable_shared_memory() =
        SomeBytes(random, targets, BytesOf(dtype, count));
  };
  refer(request.mutable_logits(), kFloats);
  refer(request.mutable_targets(), kAnyDtype);
  if (OneIn(random, 2)) refer(request.mutable_weights(), kFloats);
  if (OneIn(random, 4)) refer(request.mutable_pos_weight(), kFloats);
  if (OneIn(random, 2)) {
    v1::SharedMemoryRef ref = SomeBytes(
        random, targets, BytesOf(request.spec().gradient_dtype(), count));
    ref.set_offset(ref.offset() / 64 * 64);
    *request.mutable_gradient_destination() = ref;
  }
  return request;
}

std::map<grpc::StatusCode, int> AttackUntilAllAnswersCame(
    int least, absl::FunctionRef<grpc::StatusCode()> attack) {
  std::map<grpc::StatusCode, int> answers;
  const auto came = [&](grpc::StatusCode code) {
    return answers.contains(code);
  };
  for (int sent = 0; sent < 500 * least; ++sent) {
    if (sent >= least && std::ranges::all_of(kAttackAnswers, came)) break;
    ++answers[attack()];
  }
  return answers;
}

}  // namespace lossd
