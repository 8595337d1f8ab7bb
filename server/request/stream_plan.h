// A stream's header -> what each window of the tensor is, or what is wrong.
#ifndef LOSSD_SERVER_REQUEST_STREAM_PLAN_H_
#define LOSSD_SERVER_REQUEST_STREAM_PLAN_H_

#include <grpcpp/support/slice.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/sigmoid_loss.h"
#include "lossd/v1/loss_service.pb.h"
#include "server/base/buffer_pool.h"
#include "server/request/tensor.h"
#include "server/wire/field.h"

namespace lossd::request {

// What one window's segment points into.
struct WindowMemory {
  // The bytes that came in chunks, for StreamPlan to point at.
  std::array<std::vector<grpc::Slice>, wire::kFieldCount> slices;
  std::array<std::vector<kernels::Piece>, wire::kFieldCount> pieces;
  // Of operands that came whole, the part that the window reads.
  std::array<Buffer, wire::kFieldCount> expanded;
  std::array<kernels::Piece, wire::kFieldCount> expanded_piece;
  std::vector<uint64_t> ones;
  Buffer gradient;
  Buffer losses;
};

// A stream is computed in windows: whole blocks, counted from the tensor's
// first element, each a segment of its own. Blocks are the same as those of the
// unary call, hence the bits too. Filled once; not movable, because tensors
// point into it.
class StreamPlan {
 public:
  // INVALID_ARGUMENT or UNIMPLEMENTED, as ValidRequest::Read says them.
  absl::Status Read(v1::StreamLossHeader header);

  uint64_t element_count() const { return count_; }
  const Dims& dims() const { return dims_; }
  // Of targets in chunks.
  Dims targets_dims() const;
  absl::string_view request_id() const { return header_.request_id(); }

  // The tensor's bytes come in chunks.
  bool streamed(wire::Field field) const { return of(field).streamed; }
  // Bytes of the first `count` elements of a streamed tensor.
  uint64_t ByteSize(wire::Field field, uint64_t count) const {
    return kernels::ByteSize(of(field).type, count);
  }
  // Whole elements of a streamed tensor in its first `bytes` bytes, at most
  // element_count().
  uint64_t ElementsIn(wire::Field field, uint64_t bytes) const;
  // "float32 of shape [2, 3]": for messages.
  std::string Describe(wire::Field field) const;

  bool wants_gradient() const { return wants_gradient_; }
  bool wants_losses() const {
    return whole_.options.reduction == kernels::Reduction::kNone;
  }

  // Memory that the header takes, for as long as the stream lasts.
  uint64_t header_bytes() const;
  // Bytes of `count` elements of all that arrives in chunks; and of what is
  // made for them: results and written-out operands.
  uint64_t ArrivingBytes(uint64_t count) const;
  uint64_t MadeBytes(uint64_t count) const;

  // Makes the window of `count` elements from `first`, a multiple of
  // kBlockElements, on: takes buffers, and sets the segment up. Its streamed
  // bytes are in `memory.slices`. RESOURCE_EXHAUSTED if there is no memory.
  absl::Status MakeWindow(uint64_t first, uint64_t count, BufferPool& pool,
                          WindowMemory* memory,
                          kernels::Segment* segment) const;

  // The end, given the totals of all windows. All but `backend` is set.
  v1::StreamLossSummary Summarize(const kernels::Totals& totals) const;

 private:
  struct Source {
    bool streamed = false;
    kernels::ElementType type = kernels::ElementType::kFloat32;
    CheckedTensor whole;  // present: it came in the header
    Dims strides;         // of `whole`, unless it is one element
    bool expands() const { return whole.present && whole.count != 1; }
  };
  const Source& of(wire::Field field) const {
    return sources_[static_cast<size_t>(field)];
  }
  Source& of(wire::Field field) { return sources_[static_cast<size_t>(field)]; }

  absl::Status ReadType(absl::string_view path, v1::DataType dtype,
                        wire::Field field);
  absl::Status ReadTypes();
  absl::Status ReadGradient();
  absl::Status ReadOnesTargets();
  absl::Status ReadTargetsInChunks();
  absl::Status CheckTargetsShape(absl::string_view path, const Dims& dims,
                                 uint64_t count) const;
  absl::Status ReadOperand(wire::Field field, v1::DataType dtype,
                           const v1::Tensor* whole);
  absl::Status ReadWhole(wire::Field field, const v1::Tensor& tensor);
  absl::Status ReadUpstream();
  absl::Status ReadNormalizer();
  absl::Status MakeOperand(wire::Field field, uint64_t first, uint64_t count,
                           BufferPool& pool, WindowMemory* memory,
                           kernels::Operand* operand) const;
  absl::Status MakeResults(uint64_t count, BufferPool& pool,
                           WindowMemory* memory,
                           kernels::Segment* segment) const;
  absl::Status Expand(wire::Field field, uint64_t first, uint64_t count,
                      BufferPool& pool, WindowMemory* memory) const;
  void PointAt(wire::Field field, WindowMemory* memory,
               kernels::Tensor* tensor) const;
  kernels::Ones OnesWithin(uint64_t first, uint64_t count,
                           std::vector<uint64_t>* indices) const;

  v1::StreamLossHeader header_;
  Dims dims_;
  uint64_t count_ = 0;
  std::array<Source, wire::kFieldCount> sources_;
  std::vector<uint64_t> one_indices_;
  bool wants_gradient_ = true;
  // The gradient's scale is known at the end only.
  bool deferred_ = false;
  // The tensor as one segment without tensors: what the end is computed from.
  kernels::Segment whole_;
  // What every window has.
  kernels::Segment pattern_;
};

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_STREAM_PLAN_H_
