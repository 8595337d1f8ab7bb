#include "server/wire/request_parser.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "server/base/reusable_buffers.h"
#include "server/wire/wire_reader.h"

namespace lossd::wire {
namespace {

constexpr uint32_t kFirstTensorField = 2;
constexpr uint32_t kDataField = v1::Tensor::kDataFieldNumber;

// Walks a tensor that ends where `end` bytes are left. The last of several
// `data` counts, as everywhere in protobuf, even if they are in several parts
// of one tensor.
bool WalkTensor(WireReader& reader, uint64_t end, std::string* skeleton,
                std::vector<kernels::Piece>* pieces) {
  while (reader.left() > end) {
    const Tag tag = reader.ReadTag();
    if (tag.number == 0) return false;
    if (tag.number != kDataField || tag.type != kLength) {
      if (!reader.CopyField(tag, end, skeleton)) return false;
      continue;
    }
    const int64_t length = reader.ReadLength(end);
    if (length < 0) return false;
    AppendTag(tag, skeleton);
    AppendVarint(0, skeleton);
    pieces->clear();
    reader.Locate(static_cast<uint64_t>(length), pieces);
  }
  return reader.left() == end;
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
  return ParseSlices();
}

absl::Status RequestParser::Parse(std::vector<grpc::Slice> slices) {
  if (!clear_) Clear();
  clear_ = false;
  slices_ = std::move(slices);
  return ParseSlices();
}

absl::Status RequestParser::ParseSlices() {
  const bool walked = Walk() && request_->ParseFromString(skeleton_);
  if (walked || ParseFlat()) {
    ForgetReplacedData();
    decoded_bytes_ = MeasureDecoded();
    // A long list of numbers must not be kept in three forms: the buffer's, the
    // skeletons' and the message's.
    ClearForReuse(skeleton_);
    ClearForReuse(tensor_skeleton_);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "request: not a lossd.v1.ComputeLossRequest (truncated or garbage "
      "protobuf)");
}

// The arena counts lists of numbers, with the room that they outgrew, but
// neither strings nor unknown fields. The message counts those too, but
// counting takes long, so small skeletons are spared it.
size_t RequestParser::MeasureDecoded() const {
  const size_t arena = arena_.SpaceAllocated() - first_block_.size();
  const bool flat = skeleton_.empty();
  if (!flat && skeleton_.size() <= kFirstBlockBytes) return arena;
  return std::max<size_t>(arena, request_->SpaceUsedLong());
}

bool RequestParser::Walk() {
  WireReader reader(slices_);
  if (reader.left() > std::numeric_limits<int32_t>::max()) return false;
  skeleton_.clear();
  while (reader.left() > 0) {
    const Tag tag = reader.ReadTag();
    if (tag.number == 0) return false;
    const bool tensor = tag.number >= kFirstTensorField &&
                        tag.number < kFirstTensorField + kFieldCount;
    if (!tensor || tag.type != kLength) {
      if (!reader.CopyField(tag, 0, &skeleton_)) return false;
      continue;
    }
    const int64_t length = reader.ReadLength(0);
    if (length < 0) return false;
    tensor_skeleton_.clear();
    if (!WalkTensor(reader, reader.left() - static_cast<uint64_t>(length),
                    &tensor_skeleton_,
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
  WireReader reader(slices_);
  if (reader.left() > std::numeric_limits<int32_t>::max()) return false;
  std::string flat;
  flat.reserve(reader.left());
  reader.Copy(reader.left(), &flat);
  request_->Clear();
  skeleton_.clear();
  if (!request_->ParseFromString(flat)) return false;
  for (const Field field : kAllFields) {
    std::vector<kernels::Piece>& pieces = pieces_[field];
    const v1::Tensor& tensor = TensorOf(*request_, field);
    pieces.clear();
    if (!tensor.data().empty()) {
      pieces.push_back(std::as_bytes(std::span(tensor.data())));
    }
  }
  return true;
}

// `data` and the other forms of a tensor are a oneof: a later `shared_memory`
// or `ones` replaces an earlier `data`.
void RequestParser::ForgetReplacedData() {
  for (const Field field : kAllFields) {
    if (!TensorOf(*request_, field).has_data()) {
      pieces_[field].clear();
    }
  }
}

}  // namespace lossd::wire
