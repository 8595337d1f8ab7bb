#include "client/cli/compute_command.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "client/cli/array.h"
#include "client/cli/array_file.h"
#include "client/cli/json_request.h"
#include "client/cli/result_text.h"
#include "client/cpp/client.h"
#include "client/cpp/tensor/float8.h"

namespace lossd::cli {
namespace {

// The tensors that the flags name; the views of a request point in here.
struct Arrays {
  std::optional<Array> logits, targets, weights, pos_weight, upstream_gradient;
};

std::optional<client::TensorView> ViewOf(const std::optional<Array>& array) {
  if (!array.has_value()) return std::nullopt;
  return array->view();
}

// Reads the tensor that one flag gives, if it gives one; errors begin with the
// flag.
absl::Status ReadTensor(const char* flag, const std::string& text,
                        v1::DataType dtype, std::optional<Array>* array) {
  if (text.empty()) return absl::OkStatus();
  absl::StatusOr<Array> read = ReadArgument(text, dtype);
  if (!read.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, ": ", read.status().message()));
  }
  *array = *std::move(read);
  return absl::OkStatus();
}

// Gives logits that are bytes the float8 type that `dtype` names: a program
// without float8 saves their bits as integers, which no logits are.
void NameFloat8(v1::DataType dtype, std::optional<Array>& logits) {
  if (logits.has_value() && logits->dtype == v1::DATA_TYPE_UINT8 &&
      client::IsFloat8(dtype)) {
    logits->dtype = dtype;
  }
}

// Reads all tensors. Logits and targets must be among them; the server checks
// whether the tensors fit together.
absl::StatusOr<Arrays> ReadTensors(const TensorFlags& flags) {
  const absl::StatusOr<v1::DataType> dtype =
      FloatTypeNamed("dtype", flags.dtype);
  if (!dtype.ok()) return dtype.status();
  Arrays arrays;
  for (const absl::Status& status :
       {ReadTensor("logits", flags.logits, *dtype, &arrays.logits),
        ReadTensor("targets", flags.targets, *dtype, &arrays.targets),
        ReadTensor("weights", flags.weights, *dtype, &arrays.weights),
        ReadTensor("pos_weight", flags.pos_weight, *dtype, &arrays.pos_weight),
        ReadTensor("upstream_gradient", flags.upstream_gradient, *dtype,
                   &arrays.upstream_gradient)}) {
    if (!status.ok()) return status;
  }
  NameFloat8(*dtype, arrays.logits);
  const bool identity = flags.identity_targets.has_value();
  if (identity && arrays.targets.has_value()) {
    return absl::InvalidArgumentError(
        "--identity_targets: replaces --targets; give one of the two");
  }
  if (!arrays.logits.has_value() || !(identity || arrays.targets.has_value())) {
    return absl::InvalidArgumentError(
        "compute needs --logits and --targets, or --request");
  }
  return arrays;
}

client::Targets TargetsOf(const TensorFlags& flags, const Arrays& arrays) {
  if (arrays.targets.has_value()) return arrays.targets->view();
  return client::IdentityTargets{*flags.identity_targets};
}

// Reads the file that --request names.
absl::StatusOr<v1::ComputeLossRequest> ReadRequest(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFileOrStdin(path);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--request=", text.status().message()));
  }
  absl::StatusOr<v1::ComputeLossRequest> request = ParseJsonRequest(*text);
  if (request.ok()) return request;
  return absl::InvalidArgumentError(
      absl::StrCat("--request=", path, ": ", request.status().message()));
}

// Writes the gradient to the file that --gradient_out names, if it names one.
absl::Status WriteGradient(const OutputFlags& flags,
                           std::optional<client::ReceivedTensor>& gradient) {
  if (flags.gradient_out.empty() && !flags.print_gradient) {
    return absl::OkStatus();
  }
  if (!gradient.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        flags.print_gradient ? "--print_gradient" : "--gradient_out",
        ": the request asks for no gradient"));
  }
  if (flags.gradient_out.empty()) return absl::OkStatus();
  return WriteArrayFile(
      flags.gradient_out, "gradient",
      {gradient->dtype(), gradient->shape(), gradient->Contiguous()});
}

// Does this for --second_derivative_out.
absl::Status WriteSecondDerivative(
    const OutputFlags& flags, std::optional<client::ReceivedTensor>& second) {
  if (flags.second_derivative_out.empty()) return absl::OkStatus();
  if (!second.has_value()) {
    return absl::InvalidArgumentError(
        "--second_derivative_out: the request asks for no second derivative");
  }
  return WriteArrayFile(
      flags.second_derivative_out, "second_derivative",
      {second->dtype(), second->shape(), second->Contiguous()});
}

// Writes the derivatives where they are wanted, and the rest to standard
// output.
ExitCode Print(const OutputFlags& flags, client::LossResult& result,
               absl::Duration round_trip) {
  absl::Status written = WriteGradient(flags, result.gradient);
  if (written.ok()) {
    written = WriteSecondDerivative(flags, result.second_derivative);
  }
  if (!written.ok()) return ReportUsage(written);
  auto json = ResultJson(result, round_trip);
  if (!json.ok()) return ReportCallFailure(json.status());
  if (flags.print_gradient) {
    const auto elements = ElementsJson(*result.gradient);
    if (!elements.ok()) return ReportCallFailure(elements.status());
    (*json)["gradient"]["elements"] = *elements;
  }
  const std::string text = flags.json ? json->dump(2) + "\n" : Table(*json);
  std::fputs(text.c_str(), stdout);
  return ExitCode::kOk;
}

// Makes the call by `send`, and takes its time as the round trip.
template <typename Send>
ExitCode SendAndPrint(const ComputeFlags& flags, Send send) {
  const absl::StatusOr<std::unique_ptr<client::Client>> client =
      MakeClient(flags.connection,
                 {.stream_above_bytes = flags.tensors.stream_above_bytes});
  if (!client.ok()) return ReportUsage(client.status());
  client::CallOptions options = MakeCallOptions(flags.connection);
  options.request_id = flags.tensors.request_id;
  const absl::Time start = absl::Now();
  absl::StatusOr<client::LossResult> result = send(**client, options);
  const absl::Duration round_trip = absl::Now() - start;
  if (!result.ok()) return ReportCallFailure(result.status());
  return Print(flags.output, *result, round_trip);
}

ExitCode ComputeFile(const ComputeFlags& flags) {
  if (!flags.tensors.logits.empty() || !flags.tensors.targets.empty()) {
    return ReportUsage(absl::InvalidArgumentError(
        "--request: replaces --logits and --targets; give one or the other"));
  }
  const auto request = ReadRequest(flags.tensors.request);
  if (!request.ok()) return ReportUsage(request.status());
  return SendAndPrint(
      flags, [&](client::Client& client, const client::CallOptions& options) {
        return client.ComputeLoss(*request, options);
      });
}

ExitCode ComputeTensors(const ComputeFlags& flags) {
  const absl::StatusOr<Arrays> arrays = ReadTensors(flags.tensors);
  if (!arrays.ok()) return ReportUsage(arrays.status());
  absl::StatusOr<v1::LossSpec> spec = MakeSpec(flags.spec);
  if (!spec.ok()) return ReportUsage(spec.status());
  const client::LossRequest request{
      .spec = *std::move(spec),
      .logits = arrays->logits->view(),
      .targets = TargetsOf(flags.tensors, *arrays),
      .weights = ViewOf(arrays->weights),
      .pos_weight = ViewOf(arrays->pos_weight),
      .upstream_gradient = ViewOf(arrays->upstream_gradient)};
  return SendAndPrint(
      flags, [&](client::Client& client, const client::CallOptions& options) {
        return client.ComputeLoss(request, options);
      });
}

}  // namespace

FlagGroup TensorRows(TensorFlags& flags) {
  return {
      "Logits, targets and other tensors",
      {{"logits", PathValue(&flags.logits),
        "logits: numbers (0.5,-1), which make one dimension, or an array of a "
        "file, which may have more: x.npy, x.npz:NAME or x.safetensors:NAME"},
       {"targets", PathValue(&flags.targets),
        "targets: numbers (1,0) or an array of a file; of the shape of "
        "--logits (--target_shape_rule)"},
       {"identity_targets", AnyValue(&flags.identity_targets),
        "replaces --targets: 1 on this diagonal of the logits' matrix and 0 "
        "elsewhere; 0 is the main diagonal, and 1 the one above it"},
       {"weights", PathValue(&flags.weights),
        "weights of the elements: numbers (1,0.5) or an array of a file; empty "
        "weighs all alike"},
       {"pos_weight", PathValue(&flags.pos_weight),
        "weights of the positive term: numbers (2,3) or an array of a file; "
        "empty is 1, and a negative one counts as it is"},
       {"upstream_gradient", PathValue(&flags.upstream_gradient),
        "factors of the gradient: numbers (1,2) or an array of a file; empty "
        "is 1"},
       {"dtype", FloatTypeValue(&flags.dtype),
        "dtype of tensors given as numbers on the command line, and of arrays "
        "of single bytes, whose .npy file does not name it (<V1, <f1, and |u1 "
        "of --logits): float32, float64, bfloat16, float16, float8_e4m3fn or "
        "float8_e5m2"},
       {"request", PathValue(&flags.request),
        "replaces the flags of tensors and of the loss: file with a "
        "ComputeLossRequest in proto3 JSON; - is standard input"},
       {"request_id", AnyValue(&flags.request_id),
        "text that names the request in the server's log and in the result"},
       {"stream_above_bytes", AtLeast(&flags.stream_above_bytes, 0),
        "tensors that have more bytes together are sent in parts of 131072 "
        "elements (StreamLoss), for servers whose --max_message_bytes they "
        "exceed; not read with --request"}}};
}

Flag JsonRow(OutputFlags& flags) {
  return {"json", AnyValue(&flags.json), "print JSON in place of a table"};
}

FlagGroup OutputRows(OutputFlags& flags) {
  return {"Output",
          {JsonRow(flags),
           {"print_gradient", AnyValue(&flags.print_gradient),
            "print the gradient's elements too, in row-major order: all of "
            "them with --json, else the first and the last"},
           {"gradient_out", PathValue(&flags.gradient_out),
            "name of a file to which the gradient is written: .npy, or .npz or "
            ".safetensors with :NAME (:gradient if left out); empty for "
            "none"},
           {"second_derivative_out", PathValue(&flags.second_derivative_out),
            "name of a file to which the second derivative is written, as for "
            "--gradient_out (:second_derivative if left out); empty for "
            "none"}}};
}

ExitCode RunCompute(const ComputeFlags& flags) {
  return flags.tensors.request.empty() ? ComputeTensors(flags)
                                       : ComputeFile(flags);
}

}  // namespace lossd::cli
