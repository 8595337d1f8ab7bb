#include "client/cpp/message/request_writer.h"

#include <string>

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

// Puts a tensor field: first the header, by the generated code, then the
// payload, as their field numbers and the generated code have them.
void PutTensor(int number, const TensorView& view, SliceBuilder& message) {
  v1::Tensor header;
  header.set_dtype(view.dtype);
  header.mutable_shape()->Add(view.shape.begin(), view.shape.end());
  if (view.region != nullptr) {
    *header.mutable_shared_memory() = RefOf(*view.region, view.bytes);
    PutMessage(number, header, message);
    return;
  }
  const std::string head = header.SerializeAsString();
  const size_t payload = view.bytes.size();
  message.OpenField(number, head.size() + 1 + VarintSize(payload) + payload);
  message.small() += head;
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

}  // namespace

v1::Tensor OnesMessage(const Targets& targets) {
  const auto* ones = std::get_if<OnesView>(&targets);
  return ones != nullptr ? MessageOf(*ones)
                         : MessageOf(std::get<IdentityTargets>(targets));
}

grpc::ByteBuffer WriteRequest(const LossRequest& request,
                              const std::string& request_id,
                              SliceTracker& tracker) {
  SliceBuilder message(tracker);
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
  return message.Finish();
}

}  // namespace lossd::client
