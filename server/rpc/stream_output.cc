#include "server/rpc/stream_output.h"

#include <grpcpp/support/slice.h>

#include <algorithm>
#include <string>
#include <utility>

#include "lossd/v1/loss_service.pb.h"
#include "server/base/status_macros.h"
#include "server/request/bad_elements.h"
#include "server/rpc/reply_writer.h"
#include "server/wire/wire_format.h"

namespace lossd::rpc {
namespace {

using State = StreamWindow::State;

// Returns a response that has one field of bytes. The payload is lent, and goes
// back to `pool` when gRPC has let go of it.
grpc::ByteBuffer BytesMessage(uint32_t field, Buffer payload,
                              const std::shared_ptr<BufferPool>& pool) {
  std::string header;
  wire::AppendTag({field, wire::kLength}, &header);
  wire::AppendVarint(payload.size(), &header);
  grpc::Slice slices[] = {grpc::Slice(header),
                          SliceOver(std::move(payload), pool)};
  return grpc::ByteBuffer(slices, 2);
}

}  // namespace

StreamOutput::StreamOutput(const CallContext* call_context,
                           grpc::CompletionQueue* queue, RpcCall* call,
                           int first_event)
    : call_context_(call_context) {
  for (size_t i = 0; i < windows_.size(); ++i) {
    windows_[i] = std::make_unique<StreamWindow>(
        queue, RpcCall::Tag{call, first_event + static_cast<int>(i)});
  }
}

bool StreamOutput::InFlight() const {
  return std::ranges::any_of(windows_, [](const auto& window) {
    return window->state == State::kInFlight;
  });
}

void StreamOutput::RemoveFromQueue() {
  for (const auto& window : windows_) {
    if (window->state == State::kInFlight &&
        call_context_->batcher->Remove(window.get())) {
      window->state = State::kBack;
    }
  }
}

absl::StatusOr<std::optional<grpc::ByteBuffer>> StreamOutput::NextMessage(
    const request::StreamPlan& plan) {
  using Response = v1::StreamLossResponse;
  for (; !empty(); ++oldest_) {
    StreamWindow& oldest = window(oldest_);
    if (oldest.state == State::kBack) RETURN_IF_ERROR(Settle(plan, oldest));
    if (oldest.state != State::kSettled) break;
    request::WindowMemory& memory = oldest.memory;
    const struct {
      int field;
      Buffer* buffer;
    } results[] = {
        {Response::kLossesFieldNumber, &memory.losses},
        {Response::kSecondDerivativeFieldNumber, &memory.second_derivative},
        {Response::kGradientFieldNumber, &memory.gradient}};
    for (const auto& [field, buffer] : results) {
      if (buffer->size() == 0) continue;
      return BytesMessage(field, std::move(*buffer), call_context_->buffers);
    }
    oldest.Clear();
  }
  return std::nullopt;
}

absl::Status StreamOutput::Settle(const request::StreamPlan& plan,
                                  StreamWindow& window) {
  RETURN_IF_ERROR(window.outcome());
  RETURN_IF_ERROR(request::CheckElements(window.segment,
                                         kernels::Combine(window.partials),
                                         plan.shapes(), window.first_element));
  totals_.Add(window.partials, window.first_element);
  if (plan.has_rows()) RETURN_IF_ERROR(SettleRows(plan, window));
  backend_ = window.backend();
  window.state = State::kSettled;
  return absl::OkStatus();
}

absl::Status StreamOutput::SettleRows(const request::StreamPlan& plan,
                                      StreamWindow& window) {
  const kernels::Segment& whole = plan.whole();
  if (whole.options.reduction != kernels::Reduction::kRows) {
    rows_.Add(window.segment,
              [&](const auto& totals) { mean_.Add(whole, totals); });
    return absl::OkStatus();
  }
  Buffer& losses = window.memory.losses;
  const size_t bytes = kernels::ByteSize(
      whole.losses_type, kernels::CompletedRows(window.segment));
  losses = call_context_->buffers->Take(bytes);
  if (losses.size() != bytes) {
    return absl::ResourceExhaustedError(
        "the server has no memory left for the losses of rows");
  }
  kernels::RowLossWriter writer(&whole, losses.data());
  rows_.Add(window.segment,
            [&writer](const auto& totals) { writer.Add(totals); });
  return absl::OkStatus();
}

grpc::ByteBuffer StreamOutput::Summary(const request::StreamPlan& plan) const {
  v1::StreamLossResponse response;
  *response.mutable_summary() = plan.Summarize(totals_.Sum(), mean_);
  const std::string_view backend =
      backend_.empty() ? call_context_->backend : backend_;
  response.mutable_summary()->set_backend(backend.data(), backend.size());
  const grpc::Slice slice(response.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

uint64_t StreamOutput::input_bytes() const {
  uint64_t bytes = 0;
  for (const auto& window : windows_) bytes += window->input_bytes;
  return bytes;
}

void StreamOutput::Clear() {
  for (const auto& window : windows_) window->Clear();
  oldest_ = newest_ = 0;
  totals_ = {};
  rows_ = {};
  mean_ = {};
  backend_ = {};
}

}  // namespace lossd::rpc
