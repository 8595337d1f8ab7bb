#include "server/rpc/reply_writer.h"

#include <google/protobuf/arena.h>
#include <grpcpp/support/slice.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lossd/v1/loss_service.pb.h"
#include "server/rpc/message_text.h"
#include "server/rpc/slice_cursor.h"

namespace lossd::rpc {
namespace {

// Up to here a result is copied behind the header: one slice is cheaper to send
// than two.
constexpr size_t kMaxCopiedBytes = 2048;

// Keeps a buffer, and the pool that it goes back to, alive inside gRPC.
struct Lent {
  std::shared_ptr<BufferPool> pool;
  Buffer buffer;  // declared last: it goes first
};

void SetDuration(absl::Duration time, google::protobuf::Duration* out) {
  time = std::max(time, absl::ZeroDuration());
  out->set_seconds(absl::IDivDuration(time, absl::Seconds(1), &time));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time)));
}

void SetScalars(const Reply& reply, v1::ComputeLossResponse* response) {
  const batching::Computed& computed = reply.computed;
  response->set_loss(reply.loss);
  response->set_normalizer(computed.normalizer);
  response->set_valid_count(static_cast<int64_t>(computed.totals.valid_count));
  response->set_nan_count(static_cast<int64_t>(computed.totals.nan_count));
  if (!reply.request_id.empty()) {
    response->set_request_id(reply.request_id.data(), reply.request_id.size());
  }
  v1::Execution& execution = *response->mutable_execution();
  execution.set_backend(computed.backend.data(), computed.backend.size());
  execution.set_batch_requests(static_cast<int32_t>(computed.batch_requests));
  execution.set_batch_elements(computed.batch_elements);
  SetDuration(reply.queue_time, execution.mutable_queue_time());
  SetDuration(computed.finished - computed.started,
              execution.mutable_compute_time());
}

void SetTypeAndShape(const Reply& reply, kernels::ElementType type,
                     v1::Tensor* tensor) {
  tensor->set_dtype(ToProto(type));
  for (const uint64_t dim : reply.request.dims()) {
    tensor->add_shape(static_cast<int64_t>(dim));
  }
}

void SetValues(const Reply& reply, kernels::ElementType type,
               const Buffer& buffer, v1::Tensor* tensor) {
  SetTypeAndShape(reply, type, tensor);
  const kernels::Piece bytes(buffer.data(), buffer.size());
  const kernels::Tensor elements = {type, std::span(&bytes, 1)};
  for (uint64_t i = 0; i < reply.request.segment().element_count; ++i) {
    tensor->add_values(kernels::ElementAt(elements, i));
  }
}

// Assembles slices; small parts are gathered in one.
class SliceList {
 public:
  explicit SliceList(const std::shared_ptr<BufferPool>& pool) : pool_(pool) {}

  std::string& header() { return header_; }

  // A field of the response that is a tensor with `data`: `head` has its type
  // and shape. Written out in two parts, because protobuf allows fields in any
  // order and the payload comes last.
  void AddTensor(uint32_t number, const v1::Tensor& head, Buffer payload) {
    const std::string type_and_shape = head.SerializeAsString();
    constexpr uint32_t kLengthType = 2;
    std::string data_header;
    AppendVarint(v1::Tensor::kDataFieldNumber << 3 | kLengthType, &data_header);
    AppendVarint(payload.size(), &data_header);
    AppendVarint(number << 3 | kLengthType, &header_);
    AppendVarint(type_and_shape.size() + data_header.size() + payload.size(),
                 &header_);
    header_ += type_and_shape;
    header_ += data_header;
    if (payload.size() <= kMaxCopiedBytes) {
      header_.append(reinterpret_cast<const char*>(payload.data()),
                     payload.size());
      return;
    }
    Flush();
    slices_.push_back(Lend(std::move(payload), pool_));
  }

  grpc::ByteBuffer Finish() {
    Flush();
    return grpc::ByteBuffer(slices_.data(), slices_.size());
  }

 private:
  void Flush() {
    if (!header_.empty()) slices_.push_back(grpc::Slice(header_));
    header_.clear();
  }

  const std::shared_ptr<BufferPool>& pool_;
  std::string header_;
  absl::InlinedVector<grpc::Slice, 4> slices_;
};

}  // namespace

grpc::Slice Lend(Buffer buffer, const std::shared_ptr<BufferPool>& pool) {
  void* data = buffer.data();
  const size_t size = buffer.size();
  auto lent = std::make_unique<Lent>(Lent{pool, std::move(buffer)});
  return grpc::Slice(
      data, size, [](void* owned) { delete static_cast<Lent*>(owned); },
      lent.release());
}

absl::Status TakeResultBuffers(const ValidRequest& request, BufferPool& pool,
                               Buffer* losses, Buffer* gradient) {
  const auto take = [&pool](uint64_t bytes, Buffer* buffer) {
    *buffer = pool.Take(bytes);
    return buffer->size() == bytes;
  };
  if ((!request.wants_losses() || take(request.losses_bytes(), losses)) &&
      (!request.wants_gradient() || take(request.gradient_bytes(), gradient))) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "the server has no memory left for results of ",
      request.losses_bytes() + request.gradient_bytes(), " bytes"));
}

grpc::ByteBuffer WriteReply(Reply reply,
                            const std::shared_ptr<BufferPool>& pool) {
  using v1::ComputeLossResponse;
  // Room for the message without the heap.
  alignas(8) char block[2048];
  google::protobuf::Arena arena(block, sizeof(block));
  auto* response =
      google::protobuf::Arena::CreateMessage<ComputeLossResponse>(&arena);
  SetScalars(reply, response);
  SliceList slices(pool);
  const ValidRequest& request = reply.request;
  const kernels::ElementType losses_type = request.segment().logits.type;
  const kernels::ElementType gradient_type = request.segment().gradient_type;
  if (request.as_values()) {
    if (request.wants_losses()) {
      SetValues(reply, losses_type, reply.losses, response->mutable_losses());
    }
    if (request.wants_gradient()) {
      SetValues(reply, gradient_type, reply.gradient,
                response->mutable_gradient());
    }
    response->AppendToString(&slices.header());
    return slices.Finish();
  }
  response->AppendToString(&slices.header());
  auto* head = google::protobuf::Arena::CreateMessage<v1::Tensor>(&arena);
  SetTypeAndShape(reply, losses_type, head);
  if (request.wants_losses()) {
    slices.AddTensor(ComputeLossResponse::kLossesFieldNumber, *head,
                     std::move(reply.losses));
  }
  head->set_dtype(ToProto(gradient_type));
  if (request.wants_gradient()) {
    slices.AddTensor(ComputeLossResponse::kGradientFieldNumber, *head,
                     std::move(reply.gradient));
  }
  return slices.Finish();
}

}  // namespace lossd::rpc
