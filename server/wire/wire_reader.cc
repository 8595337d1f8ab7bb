#include "server/wire/wire_reader.h"

#include <algorithm>
#include <limits>

namespace lossd::wire {

WireReader::WireReader(std::span<const grpc::Slice> slices) : slices_(slices) {
  for (const grpc::Slice& slice : slices) left_ += slice.size();
}

std::span<const uint8_t> WireReader::Chunk(uint64_t limit) {
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

bool WireReader::ReadLongVarint(uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    const std::span<const uint8_t> chunk = Chunk(1);
    if (chunk.empty()) return false;
    const uint8_t byte = chunk[0];
    Advance(1);
    if (shift == 63 && byte > 1) return false;  // more than 64 bits
    *value |= uint64_t{byte & 0x7fU} << shift;
    // A last byte of 0 makes a varint longer than it must be.
    if (byte < 0x80) return byte != 0 || shift == 0;
  }
  return false;
}

Tag WireReader::ReadTag() {
  uint64_t value;
  if (!ReadVarint(&value) || value > std::numeric_limits<uint32_t>::max()) {
    return {};
  }
  return {static_cast<uint32_t>(value >> 3), static_cast<uint32_t>(value & 7)};
}

int64_t WireReader::ReadLength(uint64_t end) {
  constexpr uint64_t kMost = std::numeric_limits<int32_t>::max() - 16;
  uint64_t length;
  if (!ReadVarint(&length) || left_ < end || length > left_ - end ||
      length > kMost) {
    return -1;
  }
  return static_cast<int64_t>(length);
}

bool WireReader::CopyField(Tag tag, uint64_t end, std::string* out) {
  AppendTag(tag, out);
  switch (tag.type) {
    case kVarint: {
      uint64_t value;
      if (!ReadVarint(&value)) return false;
      AppendVarint(value, out);
      return left_ >= end;
    }
    case kFixed64:
    case kFixed32: {
      const uint64_t size = tag.type == kFixed64 ? 8 : 4;
      if (left_ < end + size) return false;
      Copy(size, out);
      return true;
    }
    case kLength: {
      const int64_t length = ReadLength(end);
      if (length < 0) return false;
      AppendVarint(static_cast<uint64_t>(length), out);
      Copy(static_cast<uint64_t>(length), out);
      return true;
    }
    default:
      return false;
  }
}

void WireReader::Copy(uint64_t count, std::string* out) {
  while (count > 0) {
    const std::span<const uint8_t> chunk = Chunk(count);
    out->append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    Advance(chunk.size());
    count -= chunk.size();
  }
}

void WireReader::Locate(uint64_t count, std::vector<kernels::Piece>* out) {
  while (count > 0) {
    const std::span<const uint8_t> chunk = Chunk(count);
    out->push_back(std::as_bytes(chunk));
    Advance(chunk.size());
    count -= chunk.size();
  }
}

void WireReader::Share(uint64_t count, std::vector<grpc::Slice>* out) {
  while (count > 0) {
    const size_t size = Chunk(count).size();
    out->push_back(slices_[slice_].sub(offset_, offset_ + size));
    Advance(size);
    count -= size;
  }
}

}  // namespace lossd::wire
