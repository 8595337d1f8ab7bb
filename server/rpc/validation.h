// A parsed request -> a segment, or what is wrong with it.
#ifndef LOSSD_SERVER_RPC_VALIDATION_H_
#define LOSSD_SERVER_RPC_VALIDATION_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "kernels/sigmoid_loss.h"
#include "server/rpc/tensor_validation.h"
#include "server/rpc/wire_parser.h"

namespace lossd::rpc {

// What a request asks for, all of it checked but the elements themselves, which
// the kernels look at: NaN logits and targets out of range are found there.
// Kept by its call and filled again for each request; borrows from the
// WireParser.
class ValidRequest {
 public:
  // INVALID_ARGUMENT or UNIMPLEMENTED; the message begins with the field's path
  // and names both values. On OK segment() is complete but for `gradient` and
  // `losses`.
  absl::Status Read(const WireParser& parser);

  // After it Read() comes before anything else. Lets go of what was converted.
  void Clear();

  // Memory that a Clear() has left for the next request.
  size_t kept_bytes() const;

  const kernels::Segment& segment() const { return segment_; }

  // The shape of gradient and losses, as the client knows it.
  const Dims& dims() const { return tensors_[0].dims; }
  bool wants_gradient() const { return wants_gradient_; }
  bool wants_losses() const {
    return segment_.options.reduction == kernels::Reduction::kNone;
  }
  // Logits were typed as values, so gradient and losses are answered as values.
  bool as_values() const { return tensors_[0].as_values; }

  // Bytes of the gradient, and of the losses.
  uint64_t result_bytes() const {
    return kernels::ByteSize(segment_.logits.type, segment_.element_count);
  }

 private:
  const CheckedTensor& of(Field field) const {
    return tensors_[static_cast<size_t>(field)];
  }
  absl::Status CheckGradient(const v1::ComputeLossRequest& request);
  absl::Status CheckLogitsAndTargets() const;
  absl::Status ReadOperands();
  absl::Status CheckUpstream() const;

  std::array<CheckedTensor, kFieldCount> tensors_;
  kernels::Segment segment_;
  bool wants_gradient_ = true;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_VALIDATION_H_
