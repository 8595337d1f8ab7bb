#include "client/cpp/message/stream_reader.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cpp/message/stream_writer.h"

namespace lossd::client {
namespace {

using google::protobuf::internal::WireFormatLite;
using v1::StreamLossResponse;

constexpr uint32_t BytesTag(int number) {
  return WireFormatLite::MakeTag(number,
                                 WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}

v1::DataType Or(v1::DataType dtype, v1::DataType other) {
  return dtype == v1::DATA_TYPE_UNSPECIFIED ? other : dtype;
}

// Checks that the logits have enough bytes. The server refuses too many.
absl::Status CheckSize(const TensorView& logits, int64_t elements) {
  const auto given = static_cast<int64_t>(logits.bytes.size());
  // The first comparison keeps the number of bytes from overflowing.
  if (elements / 8 <= given && BytesOf(logits.dtype, elements) <= given) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("logits.data: ", given, " bytes, too few for the ", elements,
                   " elements of the shape"));
}

}  // namespace

absl::StatusOr<StreamReader> StreamReader::Create(
    const LossRequest& request, std::span<std::byte> destination) {
  StreamReader reader;
  reader.shape_ = request.logits.shape;
  const int64_t elements = ElementCount(request.logits.shape).value_or(0);
  if (absl::Status s = CheckSize(request.logits, elements); !s.ok()) return s;
  reader.logits_ = Or(request.logits.dtype, v1::DATA_TYPE_FLOAT32);
  const v1::LossSpec& spec = request.spec;
  const v1::DataType dtype = DerivativeType(request);
  const v1::DataType sent = SentDerivativeType(request);
  if (spec.gradient() != v1::GRADIENT_MODE_OMIT) {
    const auto size = static_cast<size_t>(BytesOf(dtype, elements));
    if (!destination.empty() && destination.size() != size) {
      return absl::InvalidArgumentError(
          absl::StrCat("gradient_destination: the destination has ",
                       destination.size(), " bytes, the tensor has ", size));
    }
    Prepare(dtype, elements, destination, reader.gradient_);
    if (sent != dtype) Widen(sent, elements, reader.gradient_);
  } else if (!destination.empty()) {
    return absl::InvalidArgumentError(
        "gradient_destination: the reply has no gradient");
  }
  if (spec.second_derivative() == v1::SECOND_DERIVATIVE_MODE_RETURN) {
    Prepare(dtype, elements, {}, reader.second_derivative_);
    if (sent != dtype) Widen(sent, elements, reader.second_derivative_);
  }
  const bool by_rows = spec.reduction() == v1::REDUCTION_ROWS;
  if (by_rows || spec.reduction() == v1::REDUCTION_NONE) {
    // The server refuses logits of rank 0, which have no rows.
    reader.losses_shape_ = reader.shape_;
    if (by_rows)
      reader.losses_shape_.resize(std::min<size_t>(1, reader.shape_.size()));
    Prepare(Or(spec.losses_dtype(), reader.logits_),
            ElementCount(reader.losses_shape_).value_or(0), {}, reader.losses_);
  }
  return reader;
}

void StreamReader::Prepare(v1::DataType dtype, int64_t elements,
                           std::span<std::byte> destination, Landing& landing) {
  landing.wanted = true;
  if (destination.empty()) {
    const auto size = static_cast<size_t>(BytesOf(dtype, elements));
    landing.owned = std::make_unique_for_overwrite<std::byte[]>(size);
    destination = {landing.owned.get(), size};
  }
  landing.sent = landing.result = {dtype, destination};
}

void StreamReader::Widen(v1::DataType sent, int64_t elements,
                         Landing& landing) {
  const auto size = static_cast<size_t>(BytesOf(sent, elements));
  landing.wide = std::make_unique_for_overwrite<std::byte[]>(size);
  landing.sent = {sent, {landing.wide.get(), size}};
}

StreamReader::Landing* StreamReader::LandingOf(uint32_t tag) {
  if (tag == BytesTag(StreamLossResponse::kGradientFieldNumber)) {
    return &gradient_;
  }
  if (tag == BytesTag(StreamLossResponse::kSecondDerivativeFieldNumber)) {
    return &second_derivative_;
  }
  if (tag == BytesTag(StreamLossResponse::kLossesFieldNumber)) return &losses_;
  return nullptr;
}

absl::Status StreamReader::Add(const grpc::ByteBuffer& message) {
  grpc::ByteBuffer buffer(message);  // the slices are shared
  grpc::ProtoBufferReader stream(&buffer);
  if (!stream.status().ok()) {
    return absl::InternalError("the reply is not a StreamLossResponse");
  }
  google::protobuf::io::CodedInputStream in(&stream);
  std::string rest;
  {
    google::protobuf::io::StringOutputStream rest_stream(&rest);
    google::protobuf::io::CodedOutputStream rest_out(&rest_stream);
    while (const uint32_t tag = in.ReadTag()) {
      Landing* const landing = LandingOf(tag);
      if (landing == nullptr) {
        if (!WireFormatLite::SkipField(&in, tag, &rest_out)) break;
        continue;
      }
      int size = 0;
      if (!in.ReadVarintSizeAsInt(&size) ||
          static_cast<size_t>(size) >
              landing->sent.bytes.size() - landing->arrived ||
          !in.ReadRaw(landing->sent.bytes.data() + landing->arrived, size)) {
        return absl::InternalError(
            "the stream's reply has more results than the logits have");
      }
      landing->arrived += static_cast<size_t>(size);
    }
  }
  StreamLossResponse response;
  if (!in.ConsumedEntireMessage() || !response.ParseFromString(rest)) {
    return absl::InternalError("the reply is not a StreamLossResponse");
  }
  if (response.has_summary()) {
    summary_ = std::move(*response.mutable_summary());
  }
  return absl::OkStatus();
}

ReceivedTensor StreamReader::TensorOf(Landing& landing, const Shape& shape) {
  std::byte* const memory = landing.result.bytes.data();
  const size_t size = landing.result.bytes.size();
  std::vector<grpc::Slice> chunks;
  if (size > 0 && landing.owned != nullptr) {
    std::byte* const owned = landing.owned.release();
    chunks.emplace_back(
        owned, size,
        [](void* bytes) { delete[] static_cast<std::byte*>(bytes); }, owned);
  } else if (size > 0) {
    chunks.emplace_back(memory, size, grpc::Slice::STATIC_SLICE);
  }
  return ReceivedTensor(landing.result.dtype, shape, std::move(chunks));
}

void StreamReader::FinishDerivatives() {
  const bool scales = summary_->has_gradient_scale();
  const double factor = scales ? summary_->gradient_scale() : 1;
  for (Landing* const landing : {&gradient_, &second_derivative_}) {
    if (!scales && landing->wide == nullptr) continue;
    Scale(logits_, factor, landing->sent, landing->result);
    landing->wide.reset();
  }
}

absl::StatusOr<LossResult> StreamReader::Finish() {
  if (!summary_.has_value()) {
    return absl::InternalError("the stream ended without its summary");
  }
  for (const Landing* landing : {&gradient_, &second_derivative_, &losses_}) {
    const size_t expected = landing->sent.bytes.size();
    if (landing->arrived != expected) {
      return absl::InternalError(
          absl::StrCat("the stream ended after ", landing->arrived,
                       " bytes of results of ", expected));
    }
  }
  FinishDerivatives();
  LossResult result;
  result.loss = summary_->loss();
  result.normalizer = summary_->normalizer();
  result.valid_count = summary_->valid_count();
  result.nan_count = summary_->nan_count();
  result.request_id = summary_->request_id();
  result.execution.set_backend(summary_->backend());
  if (gradient_.wanted) result.gradient = TensorOf(gradient_, shape_);
  if (second_derivative_.wanted) {
    result.second_derivative = TensorOf(second_derivative_, shape_);
  }
  if (losses_.wanted) result.losses = TensorOf(losses_, losses_shape_);
  return result;
}

}  // namespace lossd::client
