#include "server/rpc/stream_window.h"

#include "server/base/reusable_buffers.h"

namespace lossd::rpc {

void StreamWindow::Send(batching::Batcher& batcher) {
  state = State::kInFlight;
  batcher.Enqueue(this, /*may_run_inline=*/true);
}

void StreamWindow::OnComputed(const batching::Computed& computed) {
  outcome_ = absl::OkStatus();
  backend_ = computed.backend;
  finished_ = computed.finished;
  HandBack();
}

void StreamWindow::OnDropped(const absl::Status& why) {
  outcome_ = why;
  finished_ = absl::InfinitePast();
  HandBack();
}

// Touches nothing after the alarm is set, because the stream may end with it.
void StreamWindow::HandBack() {
  back_.Set(queue_, gpr_time_0(GPR_CLOCK_MONOTONIC), &tag_);
}

void StreamWindow::Clear() {
  state = State::kFree;
  input_bytes = 0;
  segment = kernels::Segment();
  rows = Rows();
  for (auto& slices : memory.slices) ClearForReuse(slices);
  for (auto& pieces : memory.pieces) ClearForReuse(pieces);
  for (Buffer& buffer : memory.expanded) buffer = Buffer();
  ClearForReuse(memory.ones);
  memory.gradient = Buffer();
  memory.second_derivative = Buffer();
  memory.losses = Buffer();
}

}  // namespace lossd::rpc
