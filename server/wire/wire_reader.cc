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

std::optional<uint64_t> WireReader::ReadLongVarint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    const std::span<const uint8_t> chunk = Chunk(1);
    if (chunk.empty()) return std::nullopt;
    const uint8_t byte = chunk[0];
    Advance(1);
    if (shift == 63 && byte > 1) return std::nullopt;  // more than 64 bits
    value |= uint64_t{byte & 0x7fU} << shift;
    if (byte >= 0x80) continue;
    // A last byte of 0 makes the varint longer than it must be.
    if (byte == 0 && shift > 0) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

std::optional<Tag> WireReader::ReadTag() {
  const std::optional<uint64_t> value = ReadVarint();
  if (!value.has_value() || *value < 8 ||
      *value > std::numeric_limits<uint32_t>::max()) {
    return std::nullopt;
  }
  return Tag{static_cast<uint32_t>(*value >> 3),
             static_cast<uint32_t>(*value & 7)};
}

std::optional<uint64_t> WireReader::ReadLength(uint64_t end) {
  constexpr uint64_t kMost = std::numeric_limits<int32_t>::max() - 16;
  const std::optional<uint64_t> length = ReadVarint();
  if (!length.has_value() || left_ < end || *length > left_ - end ||
      *length > kMost) {
    return std::nullopt;
  }
  return length;
}

bool WireReader::CopyField(Tag tag, uint64_t end, std::string* out) {
  AppendTag(tag, out);
  switch (tag.type) {
    case kVarint: {
      const std::optional<uint64_t> value = ReadVarint();
      if (!value.has_value()) return false;
      AppendVarint(*value, out);
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
      const std::optional<uint64_t> length = ReadLength(end);
      if (!length.has_value()) return false;
      AppendVarint(*length, out);
      Copy(*length, out);
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
