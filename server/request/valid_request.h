// A parsed request -> a segment, or what is wrong with it.
#ifndef LOSSD_SERVER_REQUEST_VALID_REQUEST_H_
#define LOSSD_SERVER_REQUEST_VALID_REQUEST_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "kernels/sigmoid_loss.h"
#include "server/request/shared_tensors.h"
#include "server/request/tensor.h"
#include "server/wire/request_parser.h"

namespace lossd::request {

// What a request asks for, all of it checked but the elements themselves, which
// the kernels look at: NaN logits and targets out of range are found there.
// Kept by its call and filled again for each request; borrows from the
// RequestParser.
class ValidRequest {
 public:
  // INVALID_ARGUMENT, UNIMPLEMENTED, or for shared memory NOT_FOUND or
  // FAILED_PRECONDITION; the message begins with the field's path and names
  // both values. On OK segment() is complete but for `losses`, and for
  // `gradient` where it goes into the reply. `regions` is borrowed until
  // Clear(); null: the server has no shared memory.
  absl::Status Read(const wire::RequestParser& parser,
                    const shared_memory::RegionTable* regions = nullptr);

  // After it Read() comes before anything else. Lets go of what was converted
  // and of shared memory.
  void Clear();

  // Memory that a Clear() has left for the next request.
  size_t kept_bytes() const;

  // Memory that the request takes beside its message: what was converted.
  uint64_t converted_bytes() const;

  const kernels::Segment& segment() const { return segment_; }

  // The shape of gradient and losses, as the client knows it.
  const Dims& dims() const { return tensors_[0].dims; }
  // Of targets whose elements were sent; those are what can be out of range.
  const Dims& targets_dims() const { return of(wire::Field::kTargets).dims; }
  // In the reply, that is: not where gradient_destination has it written.
  bool wants_gradient() const { return wants_gradient_; }
  bool wants_losses() const {
    return segment_.options.reduction == kernels::Reduction::kNone;
  }
  // Logits were typed as values, so gradient and losses are answered as values.
  bool as_values() const { return tensors_[0].as_values; }

  // 0 for what is not wanted.
  uint64_t gradient_bytes() const {
    return wants_gradient_ ? kernels::ByteSize(segment_.gradient_type,
                                               segment_.element_count)
                           : 0;
  }
  uint64_t losses_bytes() const {
    return wants_losses()
               ? kernels::ByteSize(segment_.logits.type, segment_.element_count)
               : 0;
  }
  // The results, and what they become where they are answered as values.
  uint64_t reply_bytes() const;

 private:
  const CheckedTensor& of(wire::Field field) const {
    return tensors_[static_cast<size_t>(field)];
  }
  absl::Status CheckGradient(const v1::ComputeLossRequest& request);
  absl::Status ReadDestination(const v1::SharedMemoryRef& destination);
  absl::Status CheckLogitsAndTargets() const;
  absl::Status ReadOnesOf(const v1::Tensor& targets);
  absl::Status ReadOperands();
  absl::Status CheckUpstream() const;
  absl::Status CheckReply() const;

  std::array<CheckedTensor, wire::kFieldCount> tensors_;
  SharedTensors shared_;
  std::vector<uint64_t> ones_;  // what segment_.ones.indices points into
  kernels::Segment segment_;
  bool wants_gradient_ = true;
};

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_VALID_REQUEST_H_
