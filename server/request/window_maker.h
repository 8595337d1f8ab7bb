// Makes the windows in which a stream's tensor is computed.
#ifndef LOSSD_SERVER_REQUEST_WINDOW_MAKER_H_
#define LOSSD_SERVER_REQUEST_WINDOW_MAKER_H_

#include <grpcpp/support/slice.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/sigmoid_loss.h"
#include "server/base/buffer_pool.h"
#include "server/request/stream_plan.h"
#include "server/wire/field.h"

namespace lossd::request {

// The memory that the segment of one window points into. A window is used again
// and again, and keeps it.
struct WindowMemory {
  // The bytes that came in chunks; the caller fills them in.
  wire::PerField<std::vector<grpc::Slice>> slices;
  wire::PerField<std::vector<kernels::Piece>> pieces;
  // The window's part of operands that came whole.
  wire::PerField<Buffer> expanded;
  wire::PerField<kernels::Piece> expanded_piece;
  std::vector<uint64_t> ones;
  Buffer gradient;
  Buffer second_derivative;
  Buffer losses;
};

// A window is a run of whole blocks, counted from the tensor's first element,
// and a segment of its own. Its blocks are those of the unary call, hence the
// bits are the same. Whatever the tensor's shape, a window has one dimension.
class WindowMaker {
 public:
  // Borrows both.
  WindowMaker(const StreamPlan& plan, BufferPool& pool)
      : plan_(plan), pool_(pool) {}

  // Returns the window of `count` elements that begins with element `first`, a
  // multiple of kBlockElements. The bytes of its streamed tensors are in
  // `memory->slices`; the rest of `memory` is filled here. Errors:
  // RESOURCE_EXHAUSTED if there is no memory left.
  absl::StatusOr<kernels::Segment> Make(uint64_t first, uint64_t count,
                                        WindowMemory* memory) const;

 private:
  kernels::Segment WithoutTensors(uint64_t count) const;
  absl::StatusOr<kernels::Operand> MakeOperand(wire::Field field,
                                               uint64_t first, uint64_t count,
                                               WindowMemory* memory) const;
  absl::Status MakeResults(WindowMemory* memory,
                           kernels::Segment* segment) const;
  absl::Status Expand(wire::Field field, uint64_t first, uint64_t count,
                      WindowMemory* memory) const;
  // Returns the tensor over the window's slices, or over its expanded part.
  kernels::Tensor TensorOf(wire::Field field, WindowMemory* memory) const;

  const StreamPlan& plan_;
  BufferPool& pool_;
};

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_WINDOW_MAKER_H_
