#include "tests/integration/loss_stream.h"

#include <algorithm>
#include <cmath>
#include <thread>

namespace lossd {
namespace {

// Tensors are numbered in the order of a chunk's fields.
constexpr int kTensors = 5;
const v1::Tensor& TensorOf(const v1::ComputeLossRequest& request, int i) {
  switch (i) {
    case 0:
      return request.logits();
    case 1:
      return request.targets();
    case 2:
      return request.weights();
    case 3:
      return request.pos_weight();
    default:
      return request.upstream_gradient();
  }
}

void SetBytes(int i, const std::string& bytes, v1::StreamLossChunk* chunk) {
  if (bytes.empty()) return;
  switch (i) {
    case 0:
      return chunk->set_logits(bytes);
    case 1:
      return chunk->set_targets(bytes);
    case 2:
      return chunk->set_weights(bytes);
    case 3:
      return chunk->set_pos_weight(bytes);
    default:
      return chunk->set_upstream_gradient(bytes);
  }
}

bool SameShape(const v1::Tensor& a, const v1::Tensor& b) {
  return std::equal(a.shape().begin(), a.shape().end(), b.shape().begin(),
                    b.shape().end());
}

bool InChunks(const v1::ComputeLossRequest& request, int i) {
  const v1::Tensor& tensor = TensorOf(request, i);
  if (i <= 1) return tensor.has_data();
  const bool one = i == 4 && request.spec().reduction() != v1::REDUCTION_NONE &&
                   request.spec().reduction() != v1::REDUCTION_ROWS;
  return tensor.has_data() && SameShape(tensor, request.logits()) && !one;
}

size_t Position(const std::string& bytes, double part) {
  return part >= 1
             ? bytes.size()
             : static_cast<size_t>(part * static_cast<double>(bytes.size()));
}

}  // namespace

StreamAnswer RunStream(
    RunningServer& server, const Messages& messages,
    const std::function<void(grpc::ClientContext&)>& adjust) {
  grpc::ClientContext context;
  adjust(context);
  const auto stream = server.stub().StreamLoss(&context);
  std::thread writer([&] {
    for (const v1::StreamLossRequest& message : messages) {
      if (!stream->Write(message)) return;
    }
    stream->WritesDone();
  });
  StreamAnswer answer;
  v1::StreamLossResponse response;
  while (stream->Read(&response)) {
    answer.gradient += response.gradient();
    answer.losses += response.losses();
    answer.second_derivative += response.second_derivative();
    if (response.has_summary()) answer.summary = response.summary();
  }
  writer.join();
  answer.status = stream->Finish();
  return answer;
}

grpc::Status OpenStream::Finish() {
  v1::StreamLossResponse response;
  while (stream_->Read(&response)) {
  }
  return stream_->Finish();
}

v1::StreamLossRequest HeaderOf(const v1::ComputeLossRequest& request) {
  v1::StreamLossRequest message;
  v1::StreamLossHeader& header = *message.mutable_header();
  *header.mutable_spec() = request.spec();
  *header.mutable_shape() = request.logits().shape();
  header.set_logits_dtype(request.logits().dtype());
  header.set_request_id(request.request_id());
  if (InChunks(request, 1)) {
    header.set_targets_dtype(request.targets().dtype());
    *header.mutable_targets_shape() = request.targets().shape();
  } else {
    *header.mutable_targets() = request.targets();
  }
  const auto place = [&](int i, void (v1::StreamLossHeader::*set)(v1::DataType),
                         v1::Tensor* (v1::StreamLossHeader::*whole)()) {
    const v1::Tensor& tensor = TensorOf(request, i);
    if (InChunks(request, i)) {
      (header.*set)(tensor.dtype());
    } else if (tensor.ByteSizeLong() > 0) {
      *(header.*whole)() = tensor;
    }
  };
  place(2, &v1::StreamLossHeader::set_weights_dtype,
        &v1::StreamLossHeader::mutable_weights);
  place(3, &v1::StreamLossHeader::set_pos_weight_dtype,
        &v1::StreamLossHeader::mutable_pos_weight);
  place(4, &v1::StreamLossHeader::set_upstream_gradient_dtype,
        &v1::StreamLossHeader::mutable_upstream_gradient);
  return message;
}

v1::StreamLossRequest HeaderOfElements(int64_t elements) {
  v1::StreamLossRequest message = HeaderOf(SomeRequest(1));
  message.mutable_header()->set_shape(0, elements);
  message.mutable_header()->clear_targets_shape();
  return message;
}

v1::StreamLossRequest ChunkOf(const v1::ComputeLossRequest& request,
                              double from, double to) {
  v1::StreamLossRequest message;
  message.mutable_chunk();
  for (int i = 0; i < kTensors; ++i) {
    if (!InChunks(request, i)) continue;
    const std::string& data = TensorOf(request, i).data();
    const size_t begin = Position(data, from);
    SetBytes(i, data.substr(begin, Position(data, to) - begin),
             message.mutable_chunk());
  }
  return message;
}

Messages CutAtRandom(const v1::ComputeLossRequest& request, double step,
                     std::mt19937& random) {
  Messages messages = {HeaderOf(request)};
  for (double at = 0; at < 1;) {
    const double next =
        at + std::uniform_real_distribution<double>(0, step)(random);
    messages.push_back(ChunkOf(request, at, next));
    at = next;
  }
  return messages;
}

Messages Cut(const v1::ComputeLossRequest& request, int64_t elements) {
  int64_t count = 1;
  for (const int64_t dim : request.logits().shape()) count *= dim;
  Messages messages = {HeaderOf(request)};
  for (int64_t at = 0; at < count; at += elements) {
    const auto whole = static_cast<double>(count);
    messages.push_back(ChunkOf(request, static_cast<double>(at) / whole,
                               static_cast<double>(at + elements) / whole));
  }
  return messages;
}

}  // namespace lossd
