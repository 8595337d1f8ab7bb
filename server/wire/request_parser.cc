#include "server/wire/request_parser.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "server/base/reusable_buffers.h"
#include "server/wire/slice_cursor.h"
#include "server/wire/wire_walk.h"

namespace lossd::wire {
namespace {

constexpr uint32_t kFirstTensorField = 2;
constexpr uint32_t kDataField = v1::Tensor::kDataFieldNumber;

// Walks a tensor that ends where `end` bytes are left. Of repeated `data` the
// last one counts, as everywhere in protobuf, also across repeated tensors.
bool WalkTensor(SliceCursor& cursor, uint64_t end, std::string* skeleton,
                std::vector<kernels::Piece>* pieces) {
  while (cursor.left() > end) {
    Tag tag;
    if (!ReadTag(cursor, &tag)) return false;
    if (tag.number != kDataField || tag.type != kLength) {
      if (!CopyField(cursor, tag, end, skeleton)) return false;
      continue;
    }
    uint64_t length;
    if (!ReadLength(cursor, end, &length)) return false;
    AppendTag(tag, skeleton);
    AppendVarint(0, skeleton);
    pieces->clear();
    cursor.Locate(length, pieces);
  }
  return cursor.left() == end;
}

}  // namespace

RequestParser::RequestParser()
    : first_block_(kFirstBlockBytes), arena_([this] {
        google::protobuf::ArenaOptions options;
        options.initial_block = first_block_.data();
        options.initial_block_size = first_block_.size();
        return options;
      }()) {
  Clear();
}

void RequestParser::Clear() {
  arena_.Reset();
  request_ =
      google::protobuf::Arena::CreateMessage<v1::ComputeLossRequest>(&arena_);
  ClearForReuse(slices_);
  ClearForReuse(skeleton_);
  ClearForReuse(tensor_skeleton_);
  for (auto& pieces : pieces_) ClearForReuse(pieces);
  decoded_bytes_ = 0;
  clear_ = true;
}

size_t RequestParser::kept_bytes() const {
  size_t kept = CapacityInBytes(slices_) + CapacityInBytes(skeleton_) +
                CapacityInBytes(tensor_skeleton_);
  for (const auto& pieces : pieces_) kept += CapacityInBytes(pieces);
  return kept;
}

absl::Status RequestParser::Parse(const grpc::ByteBuffer& buffer) {
  if (!clear_) Clear();
  clear_ = false;
  if (buffer.Valid() && !buffer.Dump(&slices_).ok()) {
    return absl::InvalidArgumentError(
        "request: the message cannot be decompressed");
  }
  const bool walked = Walk() && request_->ParseFromString(skeleton_);
  if (walked || ParseFlat()) {
    ForgetReplacedData();
    decoded_bytes_ = MeasureDecoded();
    // They have been read; a long list of numbers must not stay in three forms.
    ClearForReuse(skeleton_);
    ClearForReuse(tensor_skeleton_);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "request: not a lossd.v1.ComputeLossRequest (truncated or garbage "
      "protobuf)");
}

// The arena counts lists of numbers with the room that they outgrew, but
// neither strings nor unknown fields; the message counts these, and takes its
// time.
size_t RequestParser::MeasureDecoded() const {
  const size_t arena = arena_.SpaceAllocated() - first_block_.size();
  const bool flat = skeleton_.empty();
  if (!flat && skeleton_.size() <= kFirstBlockBytes) return arena;
  return std::max<size_t>(arena, request_->SpaceUsedLong());
}

bool RequestParser::Walk() {
  SliceCursor cursor(slices_);
  if (cursor.left() > std::numeric_limits<int32_t>::max()) return false;
  skeleton_.clear();
  while (cursor.left() > 0) {
    Tag tag;
    if (!ReadTag(cursor, &tag)) return false;
    const bool tensor = tag.number >= kFirstTensorField &&
                        tag.number < kFirstTensorField + kFieldCount;
    if (!tensor || tag.type != kLength) {
      if (!CopyField(cursor, tag, 0, &skeleton_)) return false;
      continue;
    }
    uint64_t length;
    if (!ReadLength(cursor, 0, &length)) return false;
    tensor_skeleton_.clear();
    if (!WalkTensor(cursor, cursor.left() - length, &tensor_skeleton_,
                    &pieces_[kAllFields[tag.number - kFirstTensorField]])) {
      return false;
    }
    AppendTag(tag, &skeleton_);
    AppendVarint(tensor_skeleton_.size(), &skeleton_);
    skeleton_ += tensor_skeleton_;
  }
  return true;
}

bool RequestParser::ParseFlat() {
  uint64_t size = 0;
  for (const grpc::Slice& slice : slices_) size += slice.size();
  if (size > std::numeric_limits<int32_t>::max()) return false;
  std::string flat;
  flat.reserve(size);
  SliceCursor(slices_).Copy(size, &flat);
  request_->Clear();
  skeleton_.clear();
  if (!request_->ParseFromString(flat)) return false;
  for (const Field field : kAllFields) {
    const v1::Tensor& tensor = TensorOf(*request_, field);
    pieces_[field].clear();
    if (!tensor.data().empty()) {
      pieces_[field].push_back(std::as_bytes(std::span(tensor.data())));
    }
  }
  return true;
}

// A later shared_memory or ones takes the place of an earlier data.
void RequestParser::ForgetReplacedData() {
  for (const Field field : kAllFields) {
    if (!TensorOf(*request_, field).has_data()) pieces_[field].clear();
  }
}

}  // namespace lossd::wire
