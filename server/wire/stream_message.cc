#include "server/wire/stream_message.h"

#include <cstdint>
#include <limits>

#include "server/base/reusable_buffers.h"
#include "server/wire/slice_cursor.h"
#include "server/wire/wire_walk.h"

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
  SliceCursor cursor(slices_);
  if (cursor.left() > std::numeric_limits<int32_t>::max()) return false;
  skeleton_.clear();
  ForgetData();
  while (cursor.left() > 0) {
    Tag tag;
    if (!ReadTag(cursor, &tag)) return false;
    if (tag.number != v1::StreamLossRequest::kChunkFieldNumber ||
        tag.type != kLength) {
      // A header takes the place of an earlier chunk.
      if (tag.number == v1::StreamLossRequest::kHeaderFieldNumber &&
          tag.type == kLength) {
        ForgetData();
      }
      if (!CopyField(cursor, tag, 0, &skeleton_)) return false;
      continue;
    }
    uint64_t length;
    if (!ReadLength(cursor, 0, &length)) return false;
    chunk_skeleton_.clear();
    if (!WalkChunk(cursor, cursor.left() - length)) return false;
    AppendTag(tag, &skeleton_);
    AppendVarint(chunk_skeleton_.size(), &skeleton_);
    skeleton_ += chunk_skeleton_;
  }
  return true;
}

// The fields of a chunk are numbered as Field is, from 1. Of a repeated one the
// last counts, as everywhere in protobuf.
bool StreamMessage::WalkChunk(SliceCursor& cursor, uint64_t end) {
  static_assert(v1::StreamLossChunk::kUpstreamGradientFieldNumber ==
                kFieldCount);
  while (cursor.left() > end) {
    Tag tag;
    if (!ReadTag(cursor, &tag)) return false;
    if (tag.number > kFieldCount || tag.type != kLength) {
      if (!CopyField(cursor, tag, end, &chunk_skeleton_)) return false;
      continue;
    }
    uint64_t length;
    if (!ReadLength(cursor, end, &length)) return false;
    std::vector<grpc::Slice>& slices = data_[kAllFields[tag.number - 1]];
    slices.clear();
    cursor.Share(length, &slices);
  }
  return cursor.left() == end;
}

// What the walk does not expect, such as varints longer than need be, is
// written anew by the generated code, as the walk expects it.
bool StreamMessage::RewriteByGeneratedParser() {
  SliceCursor cursor(slices_);
  if (cursor.left() > std::numeric_limits<int32_t>::max()) return false;
  std::string flat;
  flat.reserve(cursor.left());
  cursor.Copy(cursor.left(), &flat);
  message_.Clear();
  if (!message_.ParseFromString(flat)) return false;
  message_.DiscardUnknownFields();
  slices_.assign(1, grpc::Slice(message_.SerializeAsString()));
  return true;
}

}  // namespace lossd::wire
