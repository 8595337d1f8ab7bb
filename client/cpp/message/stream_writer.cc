#include "client/cpp/message/stream_writer.h"

#include <algorithm>
#include <span>

#include "base/data_type.h"
#include "client/cpp/message/derivative_scaling.h"
#include "client/cpp/message/request_writer.h"
#include "client/cpp/message/slice_builder.h"

namespace lossd::client {
namespace {

using v1::StreamLossRequest;

v1::Tensor Copied(const TensorView& view) {
  v1::Tensor tensor;
  tensor.set_dtype(view.dtype);
  tensor.mutable_shape()->Add(view.shape.begin(), view.shape.end());
  tensor.set_data(view.bytes.data(), view.bytes.size());
  return tensor;
}

v1::DataType Named(v1::DataType dtype) {
  return dtype == v1::DATA_TYPE_UNSPECIFIED ? v1::DATA_TYPE_FLOAT32 : dtype;
}

// Returns the bytes of elements [from, to). The last part gets all bytes that
// are left, so that the server sees it if there are too many.
std::span<const std::byte> Part(const TensorView& view, int64_t from,
                                int64_t to, bool last) {
  const auto size = static_cast<int64_t>(view.bytes.size());
  const int64_t begin = std::min(BytesOf(view.dtype, from), size);
  const int64_t end = last ? size : std::min(BytesOf(view.dtype, to), size);
  return view.bytes.subspan(static_cast<size_t>(begin),
                            static_cast<size_t>(std::max(begin, end) - begin));
}

}  // namespace

int64_t SentBytes(const LossRequest& request) {
  const auto sent = [](const TensorView& tensor) {
    return tensor.region == nullptr ? tensor.bytes.size() : 0;
  };
  size_t bytes = sent(request.logits);
  if (const auto* targets = std::get_if<TensorView>(&request.targets)) {
    bytes += sent(*targets);
  }
  for (const auto* tensor :
       {&request.weights, &request.pos_weight, &request.upstream_gradient}) {
    if (tensor->has_value()) bytes += sent(**tensor);
  }
  return static_cast<int64_t>(bytes);
}

bool StreamTakes(const LossRequest& request) {
  const v1::Reduction reduction = request.spec.reduction();
  const bool is_mean = reduction == v1::REDUCTION_MEAN_OF_ROWS;
  if (!is_mean && reduction != v1::REDUCTION_ROWS) return true;
  return !DivisorIsCounted(request) &&
         !(is_mean && request.spec.has_ignore_target());
}

std::optional<int64_t> ElementCount(const Shape& shape) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  int64_t count = 1;
  for (const int64_t dim : shape) {
    constexpr int64_t kMost = int64_t{1} << 60;
    if (dim < 0 || dim > kMost / count) return std::nullopt;
    count *= dim;
  }
  return count;
}

int64_t BytesOf(v1::DataType dtype, int64_t count) {
  const ElementType type = FromProto(dtype).value_or(ElementType::kFloat32);
  return static_cast<int64_t>(ByteSize(type, static_cast<uint64_t>(count)));
}

StreamWriter::StreamWriter(const LossRequest& request,
                           const std::string& request_id, SliceTracker& tracker)
    : request_(request),
      request_id_(request_id),
      tracker_(tracker),
      elements_(ElementCount(request.logits.shape).value_or(0)) {
  in_chunks_[0] = &request.logits;
  in_chunks_[1] = std::get_if<TensorView>(&request.targets);
  const std::optional<TensorView>* const operands[] = {
      &request.weights, &request.pos_weight, &request.upstream_gradient};
  for (size_t i = 0; i < 3; ++i) {
    if (!operands[i]->has_value()) continue;
    const TensorView& view = **operands[i];
    if (view.shape == request.logits.shape && elements_ > 1) {
      in_chunks_[2 + i] = &view;
    }
  }
}

std::optional<grpc::ByteBuffer> StreamWriter::Next() {
  if (next_ < 0) {
    next_ = 0;
    return Header();
  }
  if (next_ >= elements_) return std::nullopt;
  const int64_t from = next_;
  next_ = std::min(elements_, from + kChunkElements);
  return Chunk(from, next_);
}

grpc::ByteBuffer StreamWriter::Header() {
  StreamLossRequest message;
  v1::StreamLossHeader& header = *message.mutable_header();
  *header.mutable_spec() = request_.spec;
  if (const v1::DataType sent = SentDerivativeType(request_);
      sent != DerivativeType(request_)) {
    header.mutable_spec()->set_gradient_dtype(sent);
  }
  header.mutable_shape()->Add(request_.logits.shape.begin(),
                              request_.logits.shape.end());
  header.set_logits_dtype(request_.logits.dtype);
  header.set_request_id(request_id_);
  if (in_chunks_[1] != nullptr) {
    header.set_targets_dtype(in_chunks_[1]->dtype);
    header.mutable_targets_shape()->Add(in_chunks_[1]->shape.begin(),
                                        in_chunks_[1]->shape.end());
  } else {
    *header.mutable_targets() = OnesMessage(request_.targets);
  }
  if (in_chunks_[2] != nullptr) {
    header.set_weights_dtype(Named(in_chunks_[2]->dtype));
  } else if (request_.weights.has_value()) {
    *header.mutable_weights() = Copied(*request_.weights);
  }
  if (in_chunks_[3] != nullptr) {
    header.set_pos_weight_dtype(Named(in_chunks_[3]->dtype));
  } else if (request_.pos_weight.has_value()) {
    *header.mutable_pos_weight() = Copied(*request_.pos_weight);
  }
  if (in_chunks_[4] != nullptr) {
    header.set_upstream_gradient_dtype(Named(in_chunks_[4]->dtype));
  } else if (request_.upstream_gradient.has_value()) {
    *header.mutable_upstream_gradient() = Copied(*request_.upstream_gradient);
  }
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer StreamWriter::Chunk(int64_t from, int64_t to) {
  std::array<std::span<const std::byte>, kTensors> parts;
  size_t size = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (in_chunks_[i] == nullptr) continue;
    parts[i] = Part(*in_chunks_[i], from, to, to == elements_);
    size += 1 + VarintSize(parts[i].size()) + parts[i].size();
  }
  SliceBuilder message(tracker_);
  message.OpenField(StreamLossRequest::kChunkFieldNumber, size);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (in_chunks_[i] == nullptr) continue;
    message.OpenField(static_cast<int>(i) + 1, parts[i].size());
    message.PutPayload(parts[i]);
  }
  return message.Finish();
}

}  // namespace lossd::client
