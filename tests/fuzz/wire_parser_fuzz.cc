// The wire parser accepts what the generated parser accepts, and reads the same
// request from it, wherever the message is cut.
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/wire/request_parser.h"
#include "tests/fuzz/input.h"

namespace lossd::fuzz {
namespace {

using Request = v1::ComputeLossRequest;

v1::Tensor* MutableTensor(Request& request, wire::Field field) {
  switch (field) {
    case wire::Field::kLogits:
      return request.mutable_logits();
    case wire::Field::kTargets:
      return request.mutable_targets();
    case wire::Field::kWeights:
      return request.mutable_weights();
    case wire::Field::kPosWeight:
      return request.mutable_pos_weight();
    case wire::Field::kUpstreamGradient:
      return request.mutable_upstream_gradient();
  }
  Fail("a field without a tensor");
}

std::string Join(std::span<const kernels::Piece> pieces) {
  std::string all;
  for (const kernels::Piece& piece : pieces) {
    if (piece.empty()) Fail("an empty piece");
    all.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  return all;
}

// Returns the skeleton with the tensors' bytes put back.
Request Restored(const wire::RequestParser& parser) {
  Request request = parser.request();
  for (const wire::Field field : wire::kAllFields) {
    std::string data = Join(parser.data(field));
    if (wire::TensorOf(request, field).has_data()) {
      MutableTensor(request, field)->set_data(std::move(data));
    } else if (!data.empty()) {
      Fail("bytes of a tensor that has no data");
    }
  }
  return request;
}

// Returns how `parser` differs from the generated parser; "" if it does not.
std::string Difference(wire::RequestParser& parser, const Input& input) {
  Request generated;
  const bool accepted = generated.ParseFromArray(
      input.message().data(), static_cast<int>(input.message().size()));
  const absl::Status status = parser.Parse(input.Buffer());
  if (status.ok() != accepted) {
    return absl::StrCat("the generated parser ",
                        accepted ? "accepts" : "rejects", " it, ours says ",
                        status.ToString());
  }
  if (!accepted) {
    return absl::IsInvalidArgument(status) ? "" : status.ToString();
  }
  // No message has a map: equal messages are equal bytes, unknown fields and
  // NaNs included.
  const Request restored = Restored(parser);
  if (restored.SerializeAsString() == generated.SerializeAsString()) return "";
  return absl::StrCat("the generated parser reads\n", generated.DebugString(),
                      "\nours\n", restored.DebugString());
}

}  // namespace
}  // namespace lossd::fuzz

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  // Protobuf would log a line for every string that is not UTF-8.
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  // One parser reads all inputs, as a call keeps one for its requests: a
  // request may leave no trace in the next.
  static auto& kept = *new lossd::wire::RequestParser();
  const lossd::fuzz::Input input({bytes, size});
  const std::string kept_differs = lossd::fuzz::Difference(kept, input);
  if (kept_differs.empty()) return 0;
  lossd::wire::RequestParser fresh;
  const bool alone = !lossd::fuzz::Difference(fresh, input).empty();
  lossd::fuzz::Fail(
      absl::StrCat(alone ? "" : "only after another request: ", kept_differs));
}
