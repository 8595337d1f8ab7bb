#include "server/wire/stream_message.h"

#include <cstdint>
#include <limits>

#include "server/base/reusable_buffers.h"
#include "server/wire/wire_reader.h"

namespace lossd::wire {

absl::Status StreamMessage::Parse(const grpc::ByteBuffer& buffer) {
  Clear();
  if (buffer.Valid() && !buffer.Dump(&slices_).ok()) {
    return absl::InvalidArgumentError(
        "request: the message cannot be decompressed");
  }
  const bool parsed = (Walk() && message_.ParseFromString(skeleton_)) ||
                      (RewriteByGeneratedParser() && Walk() &&
                       message_.ParseFromString(skeleton_));
  slices_.clear();
  if (!parsed) {
    return absl::InvalidArgumentError(
        "request: not a lossd.v1.StreamLossRequest (truncated or garbage "
        "protobuf)");
  }
  if (!message_.has_chunk()) ForgetData();
  return absl::OkStatus();
}

void StreamMessage::Clear() {
  ClearForReuse(slices_);
  ClearForReuse(skeleton_);
  ClearForReuse(chunk_skeleton_);
  message_.Clear();
  for (auto& slices : data_) ClearForReuse(slices);
}

void StreamMessage::ForgetData() {
  for (auto& slices : data_) slices.clear();
}

bool StreamMessage::Walk() {
  WireReader reader(slices_);
  if (reader.left() > std::numeric_limits<int32_t>::max()) return false;
  skeleton_.clear();
  ForgetData();
  while (reader.left() > 0) {
    const Tag tag = reader.ReadTag();
    if (tag.number == 0) return false;
    if (tag.number != v1::StreamLossRequest::kChunkFieldNumber ||
        tag.type != kLength) {
      // Header and chunk are a oneof: a header replaces an earlier chunk.
      if (tag.number == v1::StreamLossRequest::kHeaderFieldNumber &&
          tag.type == kLength) {
        ForgetData();
      }
      if (!reader.CopyField(tag, 0, &skeleton_)) return false;
      continue;
    }
    const int64_t length = reader.ReadLength(0);
    if (length < 0) return false;
    chunk_skeleton_.clear();
    if (!WalkChunk(reader, reader.left() - static_cast<uint64_t>(length)))
      return false;
    AppendTag(tag, &skeleton_);
    AppendVarint(chunk_skeleton_.size(), &skeleton_);
    skeleton_ += chunk_skeleton_;
  }
  return true;
}

// A chunk numbers its fields in the order of Field, from 1. The last of several
// equal fields counts, as everywhere in protobuf.
bool StreamMessage::WalkChunk(WireReader& reader, uint64_t end) {
  static_assert(v1::StreamLossChunk::kUpstreamGradientFieldNumber ==
                kFieldCount);
  while (reader.left() > end) {
    const Tag tag = reader.ReadTag();
    if (tag.number == 0) return false;
    if (tag.number > kFieldCount || tag.type != kLength) {
      if (!reader.CopyField(tag, end, &chunk_skeleton_)) return false;
      continue;
    }
    const int64_t length = reader.ReadLength(end);
    if (length < 0) return false;
    std::vector<grpc::Slice>& slices = data_[kAllFields[tag.number - 1]];
    slices.clear();
    reader.Share(static_cast<uint64_t>(length), &slices);
  }
  return reader.left() == end;
}

// Has the generated code read a message that the walk refused, such as one with
// varints longer than they must be, and write it in the form that the walk
// expects. Returns false if the generated parser refuses it too.
bool StreamMessage::RewriteByGeneratedParser() {
  WireReader reader(slices_);
  if (reader.left() > std::numeric_limits<int32_t>::max()) return false;
  std::string flat;
  flat.reserve(reader.left());
  reader.Copy(reader.left(), &flat);
  message_.Clear();
  if (!message_.ParseFromString(flat)) return false;
  message_.DiscardUnknownFields();
  slices_.assign(1, grpc::Slice(message_.SerializeAsString()));
  return true;
}

}  // namespace lossd::wire
