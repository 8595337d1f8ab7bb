// Turns a parsed request into a segment, or says what is wrong with it.
#ifndef LOSSD_SERVER_REQUEST_VALID_REQUEST_H_
#define LOSSD_SERVER_REQUEST_VALID_REQUEST_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/sigmoid_loss.h"
#include "server/request/bad_elements.h"
#include "server/request/shared_tensors.h"
#include "server/request/tensor.h"
#include "server/wire/field.h"
#include "server/wire/request_parser.h"

namespace lossd::request {

// A request in which everything has been checked but the elements themselves:
// the kernels find NaN logits and targets out of range. A call keeps one and
// fills it again for each request, so that it allocates little. Borrows from
// the RequestParser. Not thread-safe.
class ValidRequest {
 public:
  // Reads a request. On OK, segment() is complete but for `losses`, and for
  // derivatives that go into the reply. `regions` is borrowed until
  // Clear(); null means that the server has no shared memory, and
  // `may_share` whether the client may use it. Errors: INVALID_ARGUMENT,
  // UNIMPLEMENTED, and for shared memory PERMISSION_DENIED, NOT_FOUND and
  // FAILED_PRECONDITION; the message begins with the field's path and names
  // both values.
  absl::Status Read(const wire::RequestParser& parser,
                    const shared_memory::RegionTable* regions = nullptr,
                    bool may_share = true);

  // Releases converted values and shared memory. Call Read() again before using
  // any other member.
  void Clear();

  // Returns the bytes of memory that a Clear() has left for the next request.
  size_t kept_bytes() const;

  // Returns the bytes that the request takes beside its message: converted
  // values and indices of ones.
  uint64_t converted_bytes() const;

  const kernels::Segment& segment() const { return segment_; }

  // The shape of the results, as the client knows it.
  const Dims& dims() const { return logits().shape.dims; }
  // The shapes in which messages name an element's place. Targets that were
  // given by their ones cannot be out of range, so theirs is not needed.
  FieldShapes shapes() const;
  // False if the result is not wanted, and if it is written to shared memory.
  bool gradient_in_reply() const { return gradient_in_reply_; }
  bool second_derivative_in_reply() const {
    return second_derivative_in_reply_;
  }
  bool wants_losses() const {
    return segment_.options.reduction == kernels::Reduction::kNone ||
           wants_row_losses();
  }
  // True if the losses are those of rows, which the kernels do not write.
  bool wants_row_losses() const {
    return segment_.options.reduction == kernels::Reduction::kRows;
  }
  // The shape of the losses.
  Dims losses_dims() const {
    return wants_row_losses() ? Dims{dims()[0]} : dims();
  }
  // True if logits were sent as `values`: the results are then returned as
  // `values` too.
  bool as_values() const { return logits().as_values; }

  // Bytes of a result in the reply; 0 for one that is not there.
  uint64_t gradient_bytes() const {
    return gradient_in_reply_ ? derivative_bytes() : 0;
  }
  uint64_t second_derivative_bytes() const {
    return second_derivative_in_reply_ ? derivative_bytes() : 0;
  }
  uint64_t losses_bytes() const {
    return wants_losses()
               ? kernels::ByteSize(segment_.losses_type, losses_count())
               : 0;
  }
  // Bytes of the results, with their `values` if they are returned as such.
  uint64_t reply_bytes() const;

 private:
  // The steps of Read(), in their order.
  absl::Status ReadTensors(const wire::RequestParser& parser);
  absl::Status ReadLogitsAndTargets(const v1::ComputeLossRequest& request);
  absl::Status ReadResults(const v1::ComputeLossRequest& request);
  absl::Status ReadOperands();
  absl::Status CheckReply() const;

  absl::Status ReadDestinations(const v1::ComputeLossRequest& request);
  absl::StatusOr<SharedBytes> ReadDestination(
      absl::string_view path, absl::string_view result,
      const v1::SharedMemoryRef& destination);
  absl::Status ReadUpstreamScalar(const kernels::Tensor& upstream);
  uint64_t losses_count() const {
    return wants_row_losses() ? dims()[0] : segment_.element_count;
  }
  absl::Status ReadRows();
  absl::Status CheckRowsPlace() const;
  uint64_t derivative_bytes() const {
    return kernels::ByteSize(segment_.gradient_type, segment_.element_count);
  }
  const CheckedTensor& logits() const { return tensors_[wire::Field::kLogits]; }
  const CheckedTensor& targets() const {
    return tensors_[wire::Field::kTargets];
  }

  wire::PerField<CheckedTensor> tensors_;
  SharedTensors shared_;
  std::vector<uint64_t> ones_;  // the memory of segment_.ones.indices
  kernels::Segment segment_;
  bool gradient_in_reply_ = true;
  bool second_derivative_in_reply_ = false;
};

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_VALID_REQUEST_H_
