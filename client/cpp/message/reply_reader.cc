#include "client/cpp/message/reply_reader.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cpp/message/wire_cursor.h"

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

std::string StringOf(std::span<const uint8_t> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// Reads a tensor with `data` from its bytes in `reply`. Returns nothing if it
// has another form.
std::optional<ReceivedTensor> ReadFlatTensor(const grpc::Slice& reply,
                                             std::span<const uint8_t> tensor) {
  WireCursor in(tensor);
  uint64_t dtype = 0;
  Shape shape;
  std::vector<grpc::Slice> chunks;
  while (!in.AtEnd()) {
    uint32_t number;
    uint32_t type;
    std::span<const uint8_t> bytes;
    if (!in.ReadTag(&number, &type)) return std::nullopt;
    if (number == v1::Tensor::kDtypeFieldNumber &&
        type == WireCursor::kVarint) {
      if (!in.ReadVarint(&dtype)) return std::nullopt;
      continue;
    }
    if (type != WireCursor::kLength || !in.ReadBytes(&bytes)) {
      return std::nullopt;
    }
    if (number == v1::Tensor::kShapeFieldNumber) {
      for (WireCursor dims(bytes); !dims.AtEnd();) {
        uint64_t dim;
        if (!dims.ReadVarint(&dim)) return std::nullopt;
        shape.push_back(static_cast<int64_t>(dim));
      }
    } else if (number == v1::Tensor::kDataFieldNumber && chunks.empty()) {
      const auto begin = static_cast<size_t>(bytes.data() - reply.begin());
      chunks.push_back(reply.sub(begin, begin + bytes.size()));
    } else {
      return std::nullopt;
    }
  }
  if (chunks.empty() || !v1::DataType_IsValid(static_cast<int>(dtype))) {
    return std::nullopt;
  }
  return ReceivedTensor(static_cast<v1::DataType>(dtype), std::move(shape),
                        std::move(chunks));
}

// Returns the tensor of the result that this field of the reply is, or null.
std::optional<ReceivedTensor>* TensorOf(uint32_t number, LossResult& result) {
  switch (number) {
    case ComputeLossResponse::kLossesFieldNumber:
      return &result.losses;
    case ComputeLossResponse::kGradientFieldNumber:
      return &result.gradient;
    case ComputeLossResponse::kSecondDerivativeFieldNumber:
      return &result.second_derivative;
    default:
      return nullptr;
  }
}

// Reads a field that has bytes, which the generated parser would replace or
// merge if it came twice.
bool ReadFlatField(const grpc::Slice& reply, uint32_t number,
                   std::span<const uint8_t> bytes, LossResult& result) {
  if (std::optional<ReceivedTensor>* tensor = TensorOf(number, result)) {
    if (tensor->has_value()) return false;
    *tensor = ReadFlatTensor(reply, bytes);
    return tensor->has_value();
  }
  if (number == ComputeLossResponse::kExecutionFieldNumber) {
    return result.execution.ParseFromArray(bytes.data(),
                                           static_cast<int>(bytes.size()));
  }
  if (number != ComputeLossResponse::kRequestIdFieldNumber) return false;
  result.request_id = StringOf(bytes);
  return true;
}

bool ReadFlatNumber(WireCursor& in, uint32_t number, uint32_t type,
                    LossResult& result) {
  uint64_t value;
  if (type == WireCursor::kFixed64) {
    if (number == ComputeLossResponse::kLossFieldNumber) {
      return in.ReadDouble(&result.loss);
    }
    return number == ComputeLossResponse::kNormalizerFieldNumber &&
           in.ReadDouble(&result.normalizer);
  }
  if (type != WireCursor::kVarint || !in.ReadVarint(&value)) return false;
  if (number == ComputeLossResponse::kValidCountFieldNumber) {
    result.valid_count = static_cast<int64_t>(value);
    return true;
  }
  if (number != ComputeLossResponse::kNanCountFieldNumber) return false;
  result.nan_count = static_cast<int64_t>(value);
  return true;
}

// Reads a reply in one slice if it has the form in which lossd writes replies
// with data. Otherwise returns false; the reply may be good all the same.
bool ReadFlatReply(const grpc::Slice& reply, LossResult& result) {
  WireCursor in({reply.begin(), reply.size()});
  bool has_execution = false;
  while (!in.AtEnd()) {
    uint32_t number;
    uint32_t type;
    if (!in.ReadTag(&number, &type)) return false;
    if (type != WireCursor::kLength) {
      if (!ReadFlatNumber(in, number, type, result)) return false;
      continue;
    }
    std::span<const uint8_t> bytes;
    if (!in.ReadBytes(&bytes)) return false;
    // A second one would be merged with the first.
    const bool is_execution =
        number == ComputeLossResponse::kExecutionFieldNumber;
    if (is_execution && std::exchange(has_execution, true)) return false;
    if (!ReadFlatField(reply, number, bytes, result)) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<LossResult> ReadReply(std::span<const grpc::Slice> reply) {
  if (reply.size() == 1) {
    absl::StatusOr<LossResult> result = LossResult();
    if (ReadFlatReply(reply[0], *result)) return result;
  }
  return ReadReply(grpc::ByteBuffer(reply.data(), reply.size()));
}

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
