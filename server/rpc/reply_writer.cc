#include "server/rpc/reply_writer.h"

#include <grpcpp/support/slice.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/data_type.h"
#include "lossd/v1/loss_service.pb.h"
#include "server/request/tensor.h"
#include "server/wire/field_writer.h"
#include "server/wire/wire_format.h"

namespace lossd::rpc {
namespace {

// Results of at most so many bytes are copied behind the header, because one
// slice is cheaper to send than two.
constexpr size_t kMaxCopiedBytes = 2048;

// Keeps a buffer, and the pool that it goes back to, alive inside gRPC.
struct Lent {
  std::shared_ptr<BufferPool> pool;
  Buffer buffer;  // declared last, so that it is destroyed first
};

using v1::ComputeLossResponse;

// Written by hand: the generated code took a third of the instructions that
// lossd itself spends on a small request.
void PutExecution(const Reply& reply, wire::FieldWriter& fields) {
  using v1::Execution;
  const batching::Computed& computed = reply.computed;
  fields.Message(ComputeLossResponse::kExecutionFieldNumber, 0, [&] {
    fields.Bytes(Execution::kBackendFieldNumber,
                 {computed.backend.data(), computed.backend.size()});
    fields.Varint(Execution::kBatchRequestsFieldNumber,
                  static_cast<uint64_t>(computed.batch_requests));
    fields.Varint(Execution::kBatchElementsFieldNumber,
                  static_cast<uint64_t>(computed.batch_elements));
    fields.Duration(Execution::kQueueTimeFieldNumber, reply.queue_time);
    fields.Duration(Execution::kComputeTimeFieldNumber,
                    computed.finished - computed.started);
  });
}

void PutScalars(const Reply& reply, wire::FieldWriter& fields) {
  const batching::Computed& computed = reply.computed;
  fields.Double(ComputeLossResponse::kLossFieldNumber, reply.loss);
  fields.Double(ComputeLossResponse::kNormalizerFieldNumber,
                computed.normalizer);
  fields.Varint(ComputeLossResponse::kValidCountFieldNumber,
                computed.totals.valid_count);
  fields.Bytes(ComputeLossResponse::kRequestIdFieldNumber, reply.request_id);
  fields.Varint(ComputeLossResponse::kNanCountFieldNumber,
                computed.totals.nan_count);
}

void SetValues(const request::Dims& dims, kernels::ElementType type,
               const Buffer& buffer, v1::Tensor* tensor) {
  tensor->set_dtype(ToProto(type));
  for (const uint64_t dim : dims) {
    tensor->add_shape(static_cast<int64_t>(dim));
  }
  const kernels::Piece bytes(buffer.data(), buffer.size());
  const kernels::Tensor elements = {type, std::span(&bytes, 1)};
  const uint64_t count = buffer.size() / kernels::ByteSize(type, 1);
  for (uint64_t i = 0; i < count; ++i) {
    tensor->add_values(kernels::ElementAt(elements, i));
  }
}

// Writes results as lists of numbers. They are for people, so the generated
// code is fast enough.
void PutValues(const Reply& reply, std::string* header) {
  ComputeLossResponse response;
  const kernels::Segment& segment = reply.request.segment();
  if (reply.request.wants_losses()) {
    SetValues(reply.request.losses_dims(), segment.losses_type,
              reply.results.losses, response.mutable_losses());
  }
  if (reply.request.gradient_in_reply()) {
    SetValues(reply.request.dims(), segment.gradient_type,
              reply.results.gradient, response.mutable_gradient());
  }
  if (reply.request.second_derivative_in_reply()) {
    SetValues(reply.request.dims(), segment.gradient_type,
              reply.results.second_derivative,
              response.mutable_second_derivative());
  }
  response.AppendToString(header);
}

// Adds a field of the response: a tensor with `data`, which comes last.
void AddTensor(uint32_t number, kernels::ElementType type,
               const request::Dims& dims, Buffer payload,
               const std::shared_ptr<BufferPool>& pool,
               wire::SlicedMessage* message) {
  std::string& header = message->tail();
  wire::FieldWriter fields(&header);
  fields.Message(number, payload.size(), [&] {
    fields.Varint(v1::Tensor::kDtypeFieldNumber,
                  static_cast<uint64_t>(ToProto(type)));
    fields.PackedVarints(v1::Tensor::kShapeFieldNumber, dims);
    wire::AppendTag({v1::Tensor::kDataFieldNumber, wire::kLength}, &header);
    wire::AppendVarint(payload.size(), &header);
  });
  if (payload.size() <= kMaxCopiedBytes) {
    header.append(reinterpret_cast<const char*>(payload.data()),
                  payload.size());
    return;
  }
  message->AddSlice(SliceOver(std::move(payload), pool));
}

}  // namespace

grpc::Slice SliceOver(Buffer buffer, const std::shared_ptr<BufferPool>& pool) {
  void* data = buffer.data();
  const size_t size = buffer.size();
  auto lent = std::make_unique<Lent>(Lent{pool, std::move(buffer)});
  return grpc::Slice(
      data, size, [](void* owned) { delete static_cast<Lent*>(owned); },
      lent.release());
}

absl::StatusOr<ResultBuffers> TakeResultBuffers(
    const request::ValidRequest& request, BufferPool& pool) {
  ResultBuffers results{
      .losses = pool.Take(request.losses_bytes()),
      .second_derivative = pool.Take(request.second_derivative_bytes()),
      .gradient = pool.Take(request.gradient_bytes())};
  if (results.losses.size() == request.losses_bytes() &&
      results.second_derivative.size() == request.second_derivative_bytes() &&
      results.gradient.size() == request.gradient_bytes()) {
    return results;
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("the server has no memory left for results of ",
                   request.losses_bytes() + request.second_derivative_bytes() +
                       request.gradient_bytes(),
                   " bytes"));
}

wire::SlicedMessage WriteReply(Reply reply,
                               const std::shared_ptr<BufferPool>& pool) {
  // A reply with a gradient of 64 float32 elements fits.
  constexpr size_t kUsualBytes = 512;
  wire::SlicedMessage message;
  message.Reserve(kUsualBytes);
  wire::FieldWriter fields(&message.tail());
  PutScalars(reply, fields);
  PutExecution(reply, fields);
  const request::ValidRequest& request = reply.request;
  const kernels::ElementType losses_type = request.segment().losses_type;
  const kernels::ElementType gradient_type = request.segment().gradient_type;
  if (request.as_values()) {
    PutValues(reply, &message.tail());
    return message;
  }
  if (request.wants_losses()) {
    AddTensor(ComputeLossResponse::kLossesFieldNumber, losses_type,
              request.losses_dims(), std::move(reply.results.losses), pool,
              &message);
  }
  if (request.second_derivative_in_reply()) {
    AddTensor(ComputeLossResponse::kSecondDerivativeFieldNumber, gradient_type,
              request.dims(), std::move(reply.results.second_derivative), pool,
              &message);
  }
  // The gradient is last: clients look for it at the end (D66).
  if (request.gradient_in_reply()) {
    AddTensor(ComputeLossResponse::kGradientFieldNumber, gradient_type,
              request.dims(), std::move(reply.results.gradient), pool,
              &message);
  }
  return message;
}

}  // namespace lossd::rpc
