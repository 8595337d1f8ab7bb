// The wire parser accepts what the generated parser accepts, and understands
// the same by it, wherever the message is cut.
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/rpc/wire_parser.h"
#include "tests/fuzz/input.h"

namespace lossd::fuzz {
namespace {

using Request = v1::ComputeLossRequest;

v1::Tensor* MutableTensor(Request& request, rpc::Field field) {
  switch (field) {
    case rpc::Field::kLogits:
      return request.mutable_logits();
    case rpc::Field::kTargets:
      return request.mutable_targets();
    case rpc::Field::kWeights:
      return request.mutable_weights();
    case rpc::Field::kPosWeight:
      return request.mutable_pos_weight();
    case rpc::Field::kUpstreamGradient:
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

// The skeleton with the tensors' bytes put back.
Request Restored(const rpc::WireParser& parser) {
  Request request = parser.request();
  for (int i = 0; i < rpc::kFieldCount; ++i) {
    const auto field = static_cast<rpc::Field>(i);
    std::string data = Join(parser.data(field));
    if (rpc::TensorOf(request, field).has_data()) {
      MutableTensor(request, field)->set_data(std::move(data));
    } else if (!data.empty()) {
      Fail("bytes of a tensor that has no data");
    }
  }
  return request;
}

// How `parser` differs from the generated parser; "" if it does not.
std::string Difference(rpc::WireParser& parser, const Input& input) {
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
  // It has a line for every string that is not UTF-8.
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  // One for all inputs, as a call keeps one: nothing of one request may be left
  // in the next.
  static auto& kept = *new lossd::rpc::WireParser();
  const lossd::fuzz::Input input({bytes, size});
  const std::string kept_differs = lossd::fuzz::Difference(kept, input);
  if (kept_differs.empty()) return 0;
  lossd::rpc::WireParser fresh;
  const bool alone = !lossd::fuzz::Difference(fresh, input).empty();
  lossd::fuzz::Fail(
      absl::StrCat(alone ? "" : "only after another request: ", kept_differs));
}
