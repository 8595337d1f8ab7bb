#include "server/wire/slice_cursor.h"

#include <algorithm>

namespace lossd::wire {

SliceCursor::SliceCursor(std::span<const grpc::Slice> slices)
    : slices_(slices) {
  for (const grpc::Slice& slice : slices) left_ += slice.size();
}

std::span<const uint8_t> SliceCursor::Chunk(uint64_t limit) {
  limit = std::min(limit, left_);
  if (limit == 0) return {};
  while (offset_ == slices_[slice_].size()) {
    ++slice_;
    offset_ = 0;
  }
  const grpc::Slice& slice = slices_[slice_];
  return {slice.begin() + offset_,
          std::min<uint64_t>(slice.size() - offset_, limit)};
}

bool SliceCursor::ReadLongVarint(uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    const std::span<const uint8_t> chunk = Chunk(1);
    if (chunk.empty()) return false;
    const uint8_t byte = chunk[0];
    Advance(1);
    if (shift == 63 && byte > 1) return false;  // more than 64 bits
    *value |= uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return byte != 0 || shift == 0;
  }
  return false;
}

void SliceCursor::Copy(uint64_t count, std::string* out) {
  while (count > 0) {
    const std::span<const uint8_t> chunk = Chunk(count);
    out->append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    Advance(chunk.size());
    count -= chunk.size();
  }
}

void SliceCursor::Locate(uint64_t count, std::vector<kernels::Piece>* out) {
  while (count > 0) {
    const std::span<const uint8_t> chunk = Chunk(count);
    out->push_back(std::as_bytes(chunk));
    Advance(chunk.size());
    count -= chunk.size();
  }
}

void SliceCursor::Share(uint64_t count, std::vector<grpc::Slice>* out) {
  while (count > 0) {
    const size_t size = Chunk(count).size();
    out->push_back(slices_[slice_].sub(offset_, offset_ + size));
    Advance(size);
    count -= size;
  }
}

}  // namespace lossd::wire
