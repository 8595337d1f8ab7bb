// Reads a stream's header: where its tensors come from and how they are scaled.
#ifndef LOSSD_SERVER_REQUEST_STREAM_PLAN_H_
#define LOSSD_SERVER_REQUEST_STREAM_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/rows.h"
#include "kernels/sigmoid_loss.h"
#include "lossd/v1/loss_service.pb.h"
#include "server/request/bad_elements.h"
#include "server/request/tensor.h"
#include "server/wire/field.h"

namespace lossd::request {

// Where the normalizer of a stream comes from. At most one of the two is set.
struct Scaling {
  std::optional<double> known;     // the header alone decides it
  std::optional<double> declared;  // the client states it in the header
  // True if only the totals of all windows decide it.
  bool deferred() const { return !known && !declared; }
  // The normalizer; !deferred().
  double normalizer() const { return known ? *known : *declared; }
};

// A stream's checked header. The tensor is computed in windows (WindowMaker),
// and the end is computed from the totals of all windows. Read once. It cannot
// be moved, because tensors point into it. Not thread-safe.
class StreamPlan {
 public:
  // Where the elements of one tensor come from; absent if neither `streamed`
  // nor `whole.present`.
  struct Source {
    bool streamed = false;  // in chunks
    kernels::ElementType type = kernels::ElementType::kFloat32;
    CheckedTensor whole;  // present if it came in the header
    Dims strides;         // for `whole` of other than one element
    // True if windows need their part of `whole` written out.
    bool expands() const { return whole.present && whole.shape.count != 1; }
  };

  // Takes the header. Errors: INVALID_ARGUMENT, with a message that begins with
  // the field's path and names both values.
  absl::Status Read(v1::StreamLossHeader header);

  uint64_t element_count() const { return shape_.count; }
  const Dims& dims() const { return shape_.dims; }
  // The shapes in which messages name an element's place.
  FieldShapes shapes() const;
  absl::string_view request_id() const { return header_.request_id(); }
  bool wants_gradient() const { return wants_gradient_; }
  bool wants_second_derivative() const { return wants_second_derivative_; }
  bool wants_losses() const {
    return whole_.options.reduction == kernels::Reduction::kNone;
  }
  bool has_rows() const { return kernels::HasRows(whole_.options); }
  const Scaling& scaling() const { return scaling_; }
  // The tensor as one segment without tensors, but with the targets' ones.
  const kernels::Segment& whole() const { return whole_; }
  const Source& source(wire::Field field) const { return sources_[field]; }

  bool streamed(wire::Field field) const { return sources_[field].streamed; }
  // Returns the bytes of the first `count` elements of a streamed tensor.
  uint64_t ByteSize(wire::Field field, uint64_t count) const {
    return kernels::ByteSize(sources_[field].type, count);
  }
  // Returns how many whole elements of a streamed tensor lie in its first
  // `bytes` bytes, at most element_count().
  uint64_t ElementsIn(wire::Field field, uint64_t bytes) const;
  // Returns text such as "float32 of shape [2, 3]", for messages.
  std::string Describe(wire::Field field) const;

  // Bytes that the header takes for as long as the stream lasts.
  uint64_t header_bytes() const;
  // Bytes of `count` elements of all tensors that arrive in chunks.
  uint64_t ArrivingBytes(uint64_t count) const;
  // Bytes that are made for `count` elements: results and written-out operands.
  uint64_t MadeBytes(uint64_t count) const;

  // Returns the stream's summary, complete but for `backend`, given the totals
  // of all windows and the mean of all rows, if there are any.
  v1::StreamLossSummary Summarize(const kernels::Totals& totals,
                                  const kernels::MeanOfRows& mean = {}) const;

 private:
  absl::Status ReadTensors();
  absl::Status ReadResults();
  absl::Status ReadOnesTargets();
  absl::Status ReadTargetsInChunks();
  absl::Status ReadOperand(wire::Field field, v1::DataType dtype,
                           const v1::Tensor* whole);
  absl::Status ReadWhole(wire::Field field, const v1::Tensor& tensor);
  absl::Status ReadUpstream();
  // Reads the type of a tensor that comes in chunks; `path` is the header's.
  absl::Status ReadType(absl::string_view path, v1::DataType dtype,
                        wire::Field field);
  absl::StatusOr<Scaling> ReadScaling() const;
  absl::Status CheckRows() const;
  bool has_weights() const;

  v1::StreamLossHeader header_;
  CountedShape shape_;
  Dims targets_dims_;
  wire::PerField<Source> sources_;
  std::vector<uint64_t> one_indices_;
  bool wants_gradient_ = true;
  bool wants_second_derivative_ = false;
  Scaling scaling_;
  kernels::Segment whole_;
};

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_STREAM_PLAN_H_
