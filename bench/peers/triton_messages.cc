#include "bench/peers/triton_messages.h"

#include <google/protobuf/unknown_field_set.h>

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"

namespace lossd::bench {
namespace {

using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

// Field numbers of the protocol. ModelInferRequest:
constexpr int kModelName = 1;
constexpr int kInputs = 5;
constexpr int kRawInputContents = 7;
// ModelInferResponse:
constexpr int kOutputs = 5;
constexpr int kRawOutputContents = 6;
// InferInputTensor and InferOutputTensor:
constexpr int kTensorName = 1;
constexpr int kTensorDatatype = 2;
constexpr int kTensorShape = 3;

// Names of the model in triton_model/, and of its tensors.
constexpr char kModel[] = "cross_entropy";
constexpr char kLogits[] = "LOGITS";
constexpr char kTargets[] = "TARGETS";
constexpr char kLoss[] = "LOSS";
constexpr char kGradient[] = "GRADIENT";

std::string Bytes(const UnknownFieldSet& message) {
  std::string bytes;
  message.SerializeToString(&bytes);
  return bytes;
}

absl::Status PutInput(const char* name, const v1::Tensor& tensor,
                      UnknownFieldSet& request) {
  if (tensor.dtype() != v1::DATA_TYPE_FLOAT32) {
    return absl::UnimplementedError(
        absl::StrCat(name, ": the peer's model takes float32 alone"));
  }
  UnknownFieldSet input;
  input.AddLengthDelimited(kTensorName, name);
  input.AddLengthDelimited(kTensorDatatype, "FP32");
  input.AddVarint(kTensorShape, 1);
  input.AddVarint(kTensorShape, static_cast<uint64_t>(tensor.shape(0)));
  request.AddLengthDelimited(kInputs, Bytes(input));
  return absl::OkStatus();
}

// Returns the values of a length-delimited field, in order.
std::vector<std::string> Values(const UnknownFieldSet& message, int number) {
  std::vector<std::string> values;
  for (int i = 0; i < message.field_count(); ++i) {
    const UnknownField& field = message.field(i);
    if (field.number() == number &&
        field.type() == UnknownField::TYPE_LENGTH_DELIMITED) {
      values.push_back(field.length_delimited());
    }
  }
  return values;
}

// Returns the raw contents of the output with that name.
absl::StatusOr<std::string> Output(const UnknownFieldSet& reply,
                                   const std::string& name) {
  const std::vector<std::string> outputs = Values(reply, kOutputs);
  const std::vector<std::string> contents = Values(reply, kRawOutputContents);
  for (size_t i = 0; i < outputs.size() && i < contents.size(); ++i) {
    UnknownFieldSet output;
    if (!output.ParseFromString(outputs[i])) break;
    const std::vector<std::string> names = Values(output, kTensorName);
    if (!names.empty() && names.front() == name) return contents[i];
  }
  return absl::InternalError(
      absl::StrCat("the reply has no raw output named ", name));
}

}  // namespace

absl::StatusOr<std::string> TritonRequest(
    const v1::ComputeLossRequest& request) {
  if (request.has_spec()) {
    return absl::UnimplementedError("the peer's model has no options");
  }
  UnknownFieldSet message;
  message.AddLengthDelimited(kModelName, kModel);
  absl::Status status = PutInput(kLogits, request.logits(), message);
  status.Update(PutInput(kTargets, request.targets(), message));
  if (!status.ok()) return status;
  message.AddLengthDelimited(kRawInputContents, request.logits().data());
  message.AddLengthDelimited(kRawInputContents, request.targets().data());
  return Bytes(message);
}

absl::StatusOr<v1::ComputeLossResponse> FromTriton(const std::string& reply) {
  UnknownFieldSet message;
  if (!message.ParseFromString(reply)) {
    return absl::InternalError("the reply is not a ModelInferResponse");
  }
  const absl::StatusOr<std::string> loss = Output(message, kLoss);
  if (!loss.ok()) return loss.status();
  absl::StatusOr<std::string> gradient = Output(message, kGradient);
  if (!gradient.ok()) return gradient.status();
  float value = 0;
  if (loss->size() != sizeof(value)) {
    return absl::InternalError("the loss is not one float32");
  }
  std::memcpy(&value, loss->data(), sizeof(value));
  v1::ComputeLossResponse response;
  response.set_loss(value);
  response.mutable_gradient()->set_dtype(v1::DATA_TYPE_FLOAT32);
  response.mutable_gradient()->set_data(*std::move(gradient));
  return response;
}

}  // namespace lossd::bench
