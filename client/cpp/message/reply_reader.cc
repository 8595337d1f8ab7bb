#include "client/cpp/message/reply_reader.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace lossd::client {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;
using v1::ComputeLossResponse;

// The place of a payload, counted from the first byte of the message.
struct PayloadRange {
  bool present = false;
  size_t offset = 0;
  size_t size = 0;
};

// A message without its payloads, and the places of those.
struct SplitReply {
  ComputeLossResponse rest;
  PayloadRange losses;
  PayloadRange gradient;
  PayloadRange second_derivative;

  // Returns the payload of the tensor field of this number, or null.
  PayloadRange* PayloadOf(int number) {
    switch (number) {
      case ComputeLossResponse::kLossesFieldNumber:
        return &losses;
      case ComputeLossResponse::kGradientFieldNumber:
        return &gradient;
      case ComputeLossResponse::kSecondDerivativeFieldNumber:
        return &second_derivative;
      default:
        return nullptr;
    }
  }
};

constexpr uint32_t LengthDelimitedTag(int number) {
  return WireFormatLite::MakeTag(number,
                                 WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}

// Copies one tensor field to `rest` without its `data`, whose place goes to
// `payload`. The last `data` counts, as it does in the generated parser.
bool SplitTensor(uint32_t tag, CodedInputStream& in, CodedOutputStream& rest,
                 PayloadRange& payload) {
  int length = 0;
  if (!in.ReadVarintSizeAsInt(&length)) return false;
  const CodedInputStream::Limit limit = in.PushLimit(length);
  std::string head;
  {
    StringOutputStream head_stream(&head);
    CodedOutputStream head_out(&head_stream);
    while (const uint32_t inner = in.ReadTag()) {
      if (inner != LengthDelimitedTag(v1::Tensor::kDataFieldNumber)) {
        if (!WireFormatLite::SkipField(&in, inner, &head_out)) return false;
        continue;
      }
      int size = 0;
      if (!in.ReadVarintSizeAsInt(&size)) return false;
      payload = {.present = true,
                 .offset = static_cast<size_t>(in.CurrentPosition()),
                 .size = static_cast<size_t>(size)};
      if (!in.Skip(size)) return false;
    }
  }
  if (!in.ConsumedEntireMessage() || in.BytesUntilLimit() != 0) return false;
  in.PopLimit(limit);
  rest.WriteVarint32(tag);
  rest.WriteVarint32(static_cast<uint32_t>(head.size()));
  rest.WriteString(head);
  return true;
}

// Walks the top level of a reply. Returns false if the bytes are no message.
bool Split(grpc::ByteBuffer reply, SplitReply& split) {
  grpc::ProtoBufferReader stream(&reply);
  if (!stream.status().ok()) return false;
  CodedInputStream in(&stream);
  std::string rest;
  {
    StringOutputStream rest_stream(&rest);
    CodedOutputStream rest_out(&rest_stream);
    while (const uint32_t tag = in.ReadTag()) {
      const int number = WireFormatLite::GetTagFieldNumber(tag);
      PayloadRange* const payload =
          tag == LengthDelimitedTag(number) ? split.PayloadOf(number) : nullptr;
      const bool good = payload != nullptr
                            ? SplitTensor(tag, in, rest_out, *payload)
                            : WireFormatLite::SkipField(&in, tag, &rest_out);
      if (!good) return false;
    }
  }
  return in.ConsumedEntireMessage() && split.rest.ParseFromString(rest);
}

// Returns the parts of `slices` in `range`, which share their memory.
std::vector<grpc::Slice> Cut(const std::vector<grpc::Slice>& slices,
                             PayloadRange range) {
  std::vector<grpc::Slice> chunks;
  for (const grpc::Slice& slice : slices) {
    if (range.size == 0) break;
    if (range.offset >= slice.size()) {
      range.offset -= slice.size();
      continue;
    }
    const size_t taken = std::min(range.size, slice.size() - range.offset);
    chunks.push_back(slice.sub(range.offset, range.offset + taken));
    range.size -= taken;
    range.offset = 0;
  }
  return chunks;
}

// Returns the tensor whose fields but `data` are in `head`, and whose data is
// the `payload`.
absl::StatusOr<ReceivedTensor> MakeTensor(
    const v1::Tensor& head, const PayloadRange& payload,
    const std::vector<grpc::Slice>& slices) {
  Shape shape(head.shape().begin(), head.shape().end());
  if (head.storage_case() != v1::Tensor::STORAGE_NOT_SET) {
    return absl::InternalError("the reply's tensor is not in the reply");
  }
  if (payload.present) {
    return ReceivedTensor(head.dtype(), std::move(shape), Cut(slices, payload));
  }
  std::vector<grpc::Slice> chunks;
  if (!head.values().empty()) {
    chunks.emplace_back(head.values().data(),
                        sizeof(double) * head.values().size());
    return ReceivedTensor(v1::DATA_TYPE_FLOAT64, std::move(shape),
                          std::move(chunks));
  }
  return ReceivedTensor(head.dtype(), std::move(shape), std::move(chunks));
}

}  // namespace

absl::StatusOr<LossResult> ReadReply(const grpc::ByteBuffer& reply) {
  SplitReply split;
  std::vector<grpc::Slice> slices;
  if (!Split(reply, split) || !reply.Dump(&slices).ok()) {
    return absl::InternalError("the reply is not a ComputeLossResponse");
  }
  ComputeLossResponse& rest = split.rest;
  LossResult result;
  result.loss = rest.loss();
  result.normalizer = rest.normalizer();
  result.valid_count = rest.valid_count();
  result.nan_count = rest.nan_count();
  result.request_id = std::move(*rest.mutable_request_id());
  result.execution = std::move(*rest.mutable_execution());
  if (rest.has_losses()) {
    auto losses = MakeTensor(rest.losses(), split.losses, slices);
    if (!losses.ok()) return losses.status();
    result.losses = *std::move(losses);
  }
  if (rest.has_gradient()) {
    auto gradient = MakeTensor(rest.gradient(), split.gradient, slices);
    if (!gradient.ok()) return gradient.status();
    result.gradient = *std::move(gradient);
  }
  if (rest.has_second_derivative()) {
    auto second =
        MakeTensor(rest.second_derivative(), split.second_derivative, slices);
    if (!second.ok()) return second.status();
    result.second_derivative = *std::move(second);
  }
  return result;
}

}  // namespace lossd::client
