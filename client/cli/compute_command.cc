#include "client/cli/compute_command.h"

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "client/cli/array.h"
#include "client/cli/connection_flags.h"
#include "client/cli/json_request.h"
#include "client/cli/npy.h"
#include "client/cli/result_text.h"
#include "client/cli/spec_flags.h"
#include "client/cpp/client.h"
#include "nlohmann/json.hpp"

ABSL_FLAG(std::string, logits, "",
          "numbers (0.5,-1) or the name of a .npy file");
ABSL_FLAG(std::string, targets, "", "likewise; as many as logits");
ABSL_FLAG(std::optional<int64_t>, identity_targets, std::nullopt,
          "instead of --targets: 1 on this diagonal of the logits' matrix, 0 "
          "elsewhere; 0 is the main one");
ABSL_FLAG(std::string, weights, "", "likewise; element weights");
ABSL_FLAG(std::string, pos_weight, "",
          "likewise; weights of the positive term");
ABSL_FLAG(std::string, upstream_gradient, "", "likewise; scales the gradient");
ABSL_FLAG(std::string, dtype, "float32",
          "of numbers that are typed: float32, float64, bfloat16 or float16");
ABSL_FLAG(std::string, request, "",
          "instead of the above: file (- is standard input) with a "
          "ComputeLossRequest in proto3 JSON");
ABSL_FLAG(std::string, request_id, "", "for the server's log");
ABSL_FLAG(std::string, gradient_out, "",
          "write the gradient to this .npy file");
ABSL_FLAG(bool, print_gradient, false,
          "print the gradient's elements too, in row-major order: all of them "
          "with --json, else the first and the last");
ABSL_DECLARE_FLAG(bool, json);

namespace lossd::cli {
namespace {

// The tensors that the flags name; views of the request point in here.
struct Arrays {
  std::optional<Array> logits, targets, weights, pos_weight, upstream_gradient;
};

std::optional<client::TensorView> ViewOf(const std::optional<Array>& array) {
  if (!array.has_value()) return std::nullopt;
  return array->view();
}

client::Targets TargetsOf(const Arrays& arrays) {
  if (arrays.targets.has_value()) return arrays.targets->view();
  return client::IdentityTargets{*absl::GetFlag(FLAGS_identity_targets)};
}

// The tensor that one flag gives, if it gives one; errors begin with the flag.
absl::Status ReadTensor(const absl::Flag<std::string>& flag,
                        const char* flag_name, v1::DataType dtype,
                        std::optional<Array>& array) {
  const std::string text = absl::GetFlag(flag);
  if (text.empty()) return absl::OkStatus();
  absl::StatusOr<Array> read = ReadArgument(text, dtype);
  if (!read.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag_name, ": ", read.status().message()));
  }
  array = *std::move(read);
  return absl::OkStatus();
}

// All tensors; logits and targets must be among them. What fits together and
// what does not is the server's to say.
absl::StatusOr<Arrays> ReadTensors() {
  const absl::StatusOr<v1::DataType> dtype =
      FloatTypeNamed("dtype", absl::GetFlag(FLAGS_dtype));
  if (!dtype.ok()) return dtype.status();
  Arrays arrays;
  for (const absl::Status& status :
       {ReadTensor(FLAGS_logits, "logits", *dtype, arrays.logits),
        ReadTensor(FLAGS_targets, "targets", *dtype, arrays.targets),
        ReadTensor(FLAGS_weights, "weights", *dtype, arrays.weights),
        ReadTensor(FLAGS_pos_weight, "pos_weight", *dtype, arrays.pos_weight),
        ReadTensor(FLAGS_upstream_gradient, "upstream_gradient", *dtype,
                   arrays.upstream_gradient)}) {
    if (!status.ok()) return status;
  }
  const bool identity = absl::GetFlag(FLAGS_identity_targets).has_value();
  if (identity && arrays.targets.has_value()) {
    return absl::InvalidArgumentError(
        "--identity_targets: there is --targets too; give one of the two");
  }
  if (!arrays.logits.has_value() || !(identity || arrays.targets.has_value())) {
    return absl::InvalidArgumentError(
        "compute needs --logits and --targets, or --request");
  }
  return arrays;
}

// The request in the file that --request names.
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

// Writes the gradient to the file that is named, if one is.
absl::Status WriteGradient(std::optional<client::ReceivedTensor>& gradient) {
  const std::string path = absl::GetFlag(FLAGS_gradient_out);
  const bool print = absl::GetFlag(FLAGS_print_gradient);
  if (path.empty() && !print) return absl::OkStatus();
  if (!gradient.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(print ? "--print_gradient" : "--gradient_out",
                     ": the request asks for no gradient"));
  }
  if (path.empty()) return absl::OkStatus();
  return WriteNpy(
      path, {gradient->dtype(), gradient->shape(), gradient->Contiguous()});
}

// Writes the gradient where it is wanted, and the rest to standard output.
ExitCode Print(client::LossResult& result, absl::Duration round_trip) {
  const absl::Status written = WriteGradient(result.gradient);
  if (!written.ok()) return ReportUsage(written);
  auto json = ResultJson(result, round_trip);
  if (!json.ok()) return ReportCallFailure(json.status());
  if (absl::GetFlag(FLAGS_print_gradient)) {
    const auto elements = ElementsJson(*result.gradient);
    if (!elements.ok()) return ReportCallFailure(elements.status());
    (*json)["gradient"]["elements"] = *elements;
  }
  const std::string text =
      absl::GetFlag(FLAGS_json) ? json->dump(2) + "\n" : Table(*json);
  std::fputs(text.c_str(), stdout);
  return ExitCode::kOk;
}

// `send` makes the call; its time is the round trip.
template <typename Send>
ExitCode SendAndPrint(Send send) {
  const absl::StatusOr<std::unique_ptr<client::Client>> client =
      ClientFromFlags();
  if (!client.ok()) return ReportUsage(client.status());
  client::CallOptions options = CallOptionsFromFlags();
  options.request_id = absl::GetFlag(FLAGS_request_id);
  const absl::Time start = absl::Now();
  absl::StatusOr<client::LossResult> result = send(**client, options);
  const absl::Duration round_trip = absl::Now() - start;
  if (!result.ok()) return ReportCallFailure(result.status());
  return Print(*result, round_trip);
}

}  // namespace

ExitCode RunCompute() {
  if (const std::string path = absl::GetFlag(FLAGS_request); !path.empty()) {
    if (!absl::GetFlag(FLAGS_logits).empty() ||
        !absl::GetFlag(FLAGS_targets).empty()) {
      return ReportUsage(absl::InvalidArgumentError(
          "--request: the file says everything; leave --logits and --targets"));
    }
    const auto request = ReadRequest(path);
    if (!request.ok()) return ReportUsage(request.status());
    return SendAndPrint([&](client::Client& client, const auto& options) {
      return client.ComputeLoss(*request, options);
    });
  }
  const absl::StatusOr<Arrays> arrays = ReadTensors();
  if (!arrays.ok()) return ReportUsage(arrays.status());
  absl::StatusOr<v1::LossSpec> spec = SpecFromFlags();
  if (!spec.ok()) return ReportUsage(spec.status());
  const client::LossRequest request{
      .spec = *std::move(spec),
      .logits = arrays->logits->view(),
      .targets = TargetsOf(*arrays),
      .weights = ViewOf(arrays->weights),
      .pos_weight = ViewOf(arrays->pos_weight),
      .upstream_gradient = ViewOf(arrays->upstream_gradient)};
  return SendAndPrint([&](client::Client& client, const auto& options) {
    return client.ComputeLoss(request, options);
  });
}

}  // namespace lossd::cli
