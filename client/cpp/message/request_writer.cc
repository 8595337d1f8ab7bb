#include "client/cpp/message/request_writer.h"

#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cpp/message/slice_builder.h"

namespace lossd::client {
namespace {

using v1::ComputeLossRequest;

// Returns a reference to bytes of a region. The server refuses bytes outside.
v1::SharedMemoryRef RefOf(const SharedRegion& region,
                          std::span<const std::byte> bytes) {
  v1::SharedMemoryRef ref;
  ref.set_region(region.name());
  ref.set_offset(static_cast<uint64_t>(bytes.data() - region.bytes().data()));
  ref.set_byte_size(bytes.size());
  return ref;
}

// Puts a field that has no payload.
void PutMessage(int number, const google::protobuf::MessageLite& value,
                SliceBuilder& message) {
  message.OpenField(number, value.ByteSizeLong());
  value.AppendToString(&message.small());
}

// Puts a tensor in shared memory, which has no payload.
void PutSharedTensor(int number, const TensorView& view,
                     SliceBuilder& message) {
  v1::Tensor tensor;
  tensor.set_dtype(view.dtype);
  tensor.mutable_shape()->Add(view.shape.begin(), view.shape.end());
  *tensor.mutable_shared_memory() = RefOf(*view.region, view.bytes);
  PutMessage(number, tensor, message);
}

// Puts a tensor field. Its few fields are written here, because the generated
// code would allocate for each of them.
void PutTensor(int number, const TensorView& view, SliceBuilder& message) {
  if (view.region != nullptr) return PutSharedTensor(number, view, message);
  const auto dtype = static_cast<uint64_t>(view.dtype);
  size_t dims = 0;
  for (const int64_t dim : view.shape) {
    dims += VarintSize(static_cast<uint64_t>(dim));
  }
  const size_t payload = view.bytes.size();
  size_t length = 1 + VarintSize(payload) + payload;
  if (dtype != 0) length += 1 + VarintSize(dtype);
  if (dims != 0) length += 1 + VarintSize(dims) + dims;
  message.OpenField(number, length);
  if (dtype != 0) message.PutVarintField(v1::Tensor::kDtypeFieldNumber, dtype);
  if (dims != 0) {
    message.OpenField(v1::Tensor::kShapeFieldNumber, dims);
    for (const int64_t dim : view.shape) {
      message.PutVarint(static_cast<uint64_t>(dim));
    }
  }
  message.OpenField(v1::Tensor::kDataFieldNumber, payload);
  message.PutPayload(view.bytes);
}

// Puts the targets. Ones are varints on the wire and have no payload.
void PutTargets(const Targets& targets, SliceBuilder& message) {
  constexpr int kNumber = ComputeLossRequest::kTargetsFieldNumber;
  if (const auto* view = std::get_if<TensorView>(&targets)) {
    PutTensor(kNumber, *view, message);
    return;
  }
  const v1::Tensor tensor = OnesMessage(targets);
  PutMessage(kNumber, tensor, message);
}

void PutOptionalTensor(int number, const std::optional<TensorView>& view,
                       SliceBuilder& message) {
  if (view.has_value()) PutTensor(number, *view, message);
}

v1::Tensor MessageOf(const OnesView& view) {
  v1::Tensor tensor;
  tensor.mutable_shape()->Add(view.shape.begin(), view.shape.end());
  v1::SparseIndices& ones = *tensor.mutable_ones();
  ones.mutable_row_splits()->Add(view.row_splits.begin(),
                                 view.row_splits.end());
  ones.mutable_columns()->Add(view.columns.begin(), view.columns.end());
  return tensor;
}

v1::Tensor MessageOf(const IdentityTargets& targets) {
  v1::Tensor tensor;
  tensor.mutable_identity()->set_diagonal(targets.diagonal);
  return tensor;
}

// Returns how many bytes of a tensor are copied into the message.
size_t CopiedBytes(const TensorView& view) {
  const bool copied =
      view.region == nullptr && view.bytes.size() <= kLargestCopiedPayload;
  return copied ? view.bytes.size() : 0;
}

void Put(const LossRequest& request, const std::string& request_id,
         SliceBuilder& message) {
  constexpr size_t kUsualHeaders = 128;
  const auto* targets = std::get_if<TensorView>(&request.targets);
  message.Reserve(kUsualHeaders + CopiedBytes(request.logits) +
                  (targets != nullptr ? CopiedBytes(*targets) : 0));
  PutMessage(ComputeLossRequest::kSpecFieldNumber, request.spec, message);
  PutTensor(ComputeLossRequest::kLogitsFieldNumber, request.logits, message);
  PutTargets(request.targets, message);
  PutOptionalTensor(ComputeLossRequest::kWeightsFieldNumber, request.weights,
                    message);
  PutOptionalTensor(ComputeLossRequest::kPosWeightFieldNumber,
                    request.pos_weight, message);
  PutOptionalTensor(ComputeLossRequest::kUpstreamGradientFieldNumber,
                    request.upstream_gradient, message);
  if (request.shared_gradient.has_value()) {
    PutMessage(
        ComputeLossRequest::kGradientDestinationFieldNumber,
        RefOf(*request.shared_gradient->region, request.shared_gradient->bytes),
        message);
  }
  if (!request_id.empty()) {
    message.OpenField(ComputeLossRequest::kRequestIdFieldNumber,
                      request_id.size());
    message.small() += request_id;
  }
  if (request.shared_second_derivative.has_value()) {
    PutMessage(ComputeLossRequest::kSecondDerivativeDestinationFieldNumber,
               RefOf(*request.shared_second_derivative->region,
                     request.shared_second_derivative->bytes),
               message);
  }
}

}  // namespace

absl::Status CheckSerializable(size_t bytes) {
  constexpr size_t kMost = std::numeric_limits<int>::max();
  if (bytes <= kMost) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the request has ", bytes, " bytes, and a generated message at most ",
      kMost, "; ask by LossRequest"));
}

v1::Tensor OnesMessage(const Targets& targets) {
  const auto* ones = std::get_if<OnesView>(&targets);
  return ones != nullptr ? MessageOf(*ones)
                         : MessageOf(std::get<IdentityTargets>(targets));
}

grpc::ByteBuffer WriteRequest(const LossRequest& request,
                              const std::string& request_id,
                              SliceTracker& tracker) {
  SliceBuilder message(tracker);
  Put(request, request_id, message);
  return message.Finish();
}

MessagePieces RequestPieces(const LossRequest& request,
                            const std::string& request_id,
                            SliceTracker& tracker) {
  SliceBuilder message(tracker);
  Put(request, request_id, message);
  return message.Take();
}

}  // namespace lossd::client
