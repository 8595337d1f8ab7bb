#include "tests/fuzz/input.h"

#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace lossd::fuzz {
namespace {

constexpr uint8_t kCuts = 0x0f;
constexpr uint8_t kInline = 0x10;

grpc::Slice SliceOf(std::string_view bytes) {
  auto* own = new char[bytes.size()];
  std::copy(bytes.begin(), bytes.end(), own);
  return grpc::Slice(own, bytes.size(),
                     [](void* memory) { delete[] static_cast<char*>(memory); });
}

}  // namespace

Input::Input(std::span<const uint8_t> bytes) {
  const size_t wanted = bytes.empty() ? 0 : 2 * (size_t{bytes[0]} & kCuts);
  const size_t head =
      bytes.empty() ? 0 : 1 + std::min(wanted, bytes.size() - 1);
  head_ = bytes.first(head);
  message_ = {reinterpret_cast<const char*>(bytes.data() + head),
              bytes.size() - head};
  cuts_ = {0, message_.size()};
  for (size_t i = 1; i + 1 < head; i += 2) {
    cuts_.push_back((head_[i] | size_t{head_[i + 1]} << 8) %
                    (message_.size() + 1));
  }
  std::sort(cuts_.begin(), cuts_.end());
}

grpc::ByteBuffer Input::Buffer() const {
  const bool in_slice = !head_.empty() && (head_[0] & kInline) != 0;
  std::vector<grpc::Slice> slices;
  for (size_t i = 1; i < cuts_.size(); ++i) {
    const std::string_view part =
        message_.substr(cuts_[i - 1], cuts_[i] - cuts_[i - 1]);
    slices.push_back(in_slice ? grpc::Slice(part.data(), part.size())
                              : SliceOf(part));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

void Fail(std::string_view what) {
  std::fprintf(stderr, "lossd: %.*s\n", static_cast<int>(what.size()),
               what.data());
  std::abort();
}

}  // namespace lossd::fuzz
