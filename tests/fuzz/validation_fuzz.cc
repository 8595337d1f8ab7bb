// Validation ends well whatever it is given, names the field that is wrong, and
// lets nothing through that would make a kernel leave its memory.
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/request/valid_request.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/segment_check.h"

namespace lossd::fuzz {
namespace {

constexpr uint64_t kMaxElements = 1 << 16;

// Fails unless the refusal says that the client or this build is at fault, and
// names a field of the request.
void CheckRefusal(const absl::Status& status) {
  if (!absl::IsInvalidArgument(status) && !absl::IsUnimplemented(status)) {
    Fail(absl::StrCat("refused as ", status.ToString()));
  }
  constexpr std::string_view kPaths[] = {
      "spec.",
      "logits",
      "targets",
      "weights",
      "upstream_gradient",
      "gradient_destination",
      "second_derivative_destination",
      "pos_weight",
  };
  const auto names = [&](std::string_view path) {
    return absl::StartsWith(status.message(),
                            absl::string_view(path.data(), path.size()));
  };
  if (std::none_of(std::begin(kPaths), std::end(kPaths), names) ||
      !absl::StrContains(status.message(), ": ")) {
    Fail(absl::StrCat("no field in: ", status.message()));
  }
}

}  // namespace
}  // namespace lossd::fuzz

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  // Both are filled again for each request, as they are in a call.
  static auto& parser = *new lossd::wire::RequestParser();
  static auto& valid = *new lossd::request::ValidRequest();
  const lossd::fuzz::Input input({bytes, size});
  if (!parser.Parse(input.Buffer()).ok()) return 0;
  const absl::Status status = valid.Read(parser);
  if (status.ok()) {
    lossd::fuzz::CheckBounds(valid.segment());
    if (valid.segment().element_count <= lossd::fuzz::kMaxElements) {
      lossd::fuzz::CheckKernels(
          valid.segment(),
          {.gradient = valid.gradient_bytes(),
           .second_derivative = valid.second_derivative_bytes(),
           .losses = valid.losses_bytes()});
    }
  } else {
    lossd::fuzz::CheckRefusal(status);
  }
  valid.Clear();
  return 0;
}
