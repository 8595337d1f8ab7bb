#include "client/cpp/request_writer.h"

#include <string>

#include "client/cpp/message_assembly.h"

namespace lossd::client {
namespace {

using v1::ComputeLossRequest;

// One tensor field: the header by the generated code, then the payload, in the
// order of their field numbers, as the generated code has them.
void PutTensor(int number, const TensorView& view, MessageAssembly& message) {
  v1::Tensor header;
  header.set_dtype(view.dtype);
  header.mutable_shape()->Add(view.shape.begin(), view.shape.end());
  const std::string head = header.SerializeAsString();
  const size_t payload = view.bytes.size();
  message.OpenField(number, head.size() + 1 + VarintSize(payload) + payload);
  message.small() += head;
  message.OpenField(v1::Tensor::kDataFieldNumber, payload);
  message.PutPayload(view.bytes);
}

// The ones are varints on the wire: there is no payload to lend.
void PutTargets(const Targets& targets, MessageAssembly& message) {
  constexpr int kNumber = ComputeLossRequest::kTargetsFieldNumber;
  if (const auto* view = std::get_if<TensorView>(&targets)) {
    PutTensor(kNumber, *view, message);
    return;
  }
  const v1::Tensor tensor = OnesMessage(targets);
  message.OpenField(kNumber, tensor.ByteSizeLong());
  tensor.AppendToString(&message.small());
}

void PutOptionalTensor(int number, const std::optional<TensorView>& view,
                       MessageAssembly& message) {
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
                              const std::string& request_id, Loan& loan) {
  MessageAssembly message(loan);
  message.OpenField(ComputeLossRequest::kSpecFieldNumber,
                    request.spec.ByteSizeLong());
  request.spec.AppendToString(&message.small());
  PutTensor(ComputeLossRequest::kLogitsFieldNumber, request.logits, message);
  PutTargets(request.targets, message);
  PutOptionalTensor(ComputeLossRequest::kWeightsFieldNumber, request.weights,
                    message);
  PutOptionalTensor(ComputeLossRequest::kPosWeightFieldNumber,
                    request.pos_weight, message);
  PutOptionalTensor(ComputeLossRequest::kUpstreamGradientFieldNumber,
                    request.upstream_gradient, message);
  if (!request_id.empty()) {
    message.OpenField(ComputeLossRequest::kRequestIdFieldNumber,
                      request_id.size());
    message.small() += request_id;
  }
  return message.Finish();
}

}  // namespace lossd::client
