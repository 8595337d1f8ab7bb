#include "server/rpc/loss_computation.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "kernels/rows.h"
#include "server/base/status_macros.h"
#include "server/request/bad_elements.h"

namespace lossd::rpc {

absl::Status LossComputation::Read(const grpc::ByteBuffer& message,
                                   bool may_share) {
  message_bytes_ = message.Length();
  RETURN_IF_ERROR(parser_.Parse(message));
  return request_.Read(parser_, call_context_->regions, may_share);
}

absl::Status LossComputation::Read(std::vector<grpc::Slice> slices,
                                   bool may_share) {
  message_bytes_ = 0;
  for (const grpc::Slice& slice : slices) message_bytes_ += slice.size();
  RETURN_IF_ERROR(parser_.Parse(std::move(slices)));
  return request_.Read(parser_, call_context_->regions, may_share);
}

// The sum does not overflow, because every logit lies in memory. Regions of
// shared memory are not charged here, as they have a budget of their own; but
// results that are computed from them are.
int64_t LossComputation::ChargedBytes() const {
  return static_cast<int64_t>(
      message_bytes_ + parser_.decoded_bytes() + request_.converted_bytes() +
      request_.reply_bytes() + batching::PreparedBytes(request_.segment()));
}

absl::StatusOr<kernels::Segment> LossComputation::Start() {
  absl::StatusOr<ResultBuffers> results =
      TakeResultBuffers(request_, *call_context_->buffers);
  if (!results.ok()) return results.status();
  results_ = *std::move(results);
  kernels::Segment segment = request_.segment();
  // Otherwise they are null, or in shared memory.
  if (request_.gradient_in_reply()) segment.gradient = results_.gradient.data();
  if (request_.second_derivative_in_reply()) {
    segment.second_derivative = results_.second_derivative.data();
  }
  if (!request_.wants_row_losses()) segment.losses = results_.losses.data();
  return segment;
}

absl::StatusOr<wire::SlicedMessage> LossComputation::Answer(
    const kernels::Segment& segment, batching::Computed computed,
    absl::Time received) {
  // The task's own segment may have factors in place of the upstream gradient.
  RETURN_IF_ERROR(request::CheckElements(request_.segment(), computed.totals,
                                         request_.shapes()));
  if (request_.wants_row_losses()) WriteRowLosses(segment);
  // A request without elements is answered in the name of the usual backend.
  if (computed.backend.empty()) computed.backend = call_context_->backend;
  Reply reply{
      .loss = kernels::LossOf(segment, computed.totals, computed.normalizer),
      .computed = computed,
      .queue_time = computed.started - received,
      .request_id = request_id(),
      .request = request_,
      .results = std::move(results_),
  };
  return WriteReply(std::move(reply), call_context_->buffers);
}

void LossComputation::WriteRowLosses(const kernels::Segment& segment) {
  std::byte* const to = results_.losses.data();
  // Rows without elements have losses, too.
  if (segment.element_count == 0) {
    std::fill_n(to, results_.losses.size(), std::byte{0});
    return;
  }
  kernels::RowLossWriter writer(&segment, to);
  kernels::RowAccumulator().Add(
      segment, [&writer](const auto& totals) { writer.Add(totals); });
}

void LossComputation::Clear() {
  results_ = ResultBuffers();
  request_.Clear();
  parser_.Clear();
}

}  // namespace lossd::rpc
