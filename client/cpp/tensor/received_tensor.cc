#include "client/cpp/tensor/received_tensor.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace lossd::client {
namespace {

void Gather(const std::vector<grpc::Slice>& chunks, std::byte* destination) {
  for (const grpc::Slice& chunk : chunks) {
    if (chunk.size() == 0) continue;  // memcpy takes no null pointers
    std::memcpy(destination, chunk.begin(), chunk.size());
    destination += chunk.size();
  }
}

bool IsAligned(const grpc::Slice& chunk) {
  return reinterpret_cast<uintptr_t>(chunk.begin()) % alignof(max_align_t) == 0;
}

}  // namespace

ReceivedTensor::ReceivedTensor(v1::DataType dtype, Shape shape,
                               std::vector<grpc::Slice> chunks)
    : dtype_(dtype == v1::DATA_TYPE_UNSPECIFIED ? v1::DATA_TYPE_FLOAT32
                                                : dtype),
      shape_(std::move(shape)),
      chunks_(std::move(chunks)) {
  for (const grpc::Slice& chunk : chunks_) byte_size_ += chunk.size();
}

absl::Status ReceivedTensor::CopyTo(std::span<std::byte> destination) const {
  if (destination.size() != byte_size_) {
    return absl::InvalidArgumentError(
        absl::StrCat("the destination has ", destination.size(),
                     " bytes, the tensor has ", byte_size_));
  }
  Gather(chunks_, destination.data());
  return absl::OkStatus();
}

std::span<const std::byte> ReceivedTensor::Contiguous() {
  // A single slice of a reply begins where the message's header ended, which is
  // rarely aligned. The memory that a stream's results came into is.
  if (chunks_.size() == 1 && IsAligned(chunks_[0])) {
    return std::as_bytes(std::span(chunks_[0].begin(), byte_size_));
  }
  if (contiguous_ == nullptr && byte_size_ > 0) {
    contiguous_ = std::make_unique_for_overwrite<std::byte[]>(byte_size_);
    Gather(chunks_, contiguous_.get());
  }
  return {contiguous_.get(), byte_size_};
}

}  // namespace lossd::client
