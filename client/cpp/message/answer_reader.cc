#include "client/cpp/message/answer_reader.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "client/cpp/message/wire_cursor.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {
namespace {

using Slices = absl::InlinedVector<grpc::Slice, 1>;
using Entry = v1::ComputeLossesResponse::Entry;

constexpr uint64_t kEntriesTag =
    v1::ComputeLossesResponse::kEntriesFieldNumber << 3 | WireCursor::kLength;

// Entries that several slices share are joined if they are not larger.
constexpr size_t kMaxJoinedBytes = 16384;
// The fields before a response are fewer bytes: two tags and two varints.
constexpr size_t kMaxHeadBytes = 22;

std::span<const uint8_t> BytesOf(const grpc::Slice& slice) {
  return {slice.begin(), slice.size()};
}

size_t SizeOf(const Slices& slices) {
  size_t sum = 0;
  for (const grpc::Slice& slice : slices) sum += slice.size();
  return sum;
}

// Copies the first bytes of the slices, `size` of them.
std::string Join(const Slices& slices, size_t size) {
  std::string bytes;
  bytes.reserve(size);
  for (const grpc::Slice& slice : slices) {
    const size_t taken = std::min(size - bytes.size(), slice.size());
    bytes.append(reinterpret_cast<const char*>(slice.begin()), taken);
  }
  return bytes;
}

// Removes the first `count` bytes of the slices, which have more.
void Drop(size_t count, Slices* slices) {
  auto slice = slices->begin();
  for (; slice->size() <= count; ++slice) count -= slice->size();
  *slice = slice->sub(count, slice->size());
  slices->erase(slices->begin(), slice);
}

// Reads forward through slices, wherever they end.
class SliceCursor {
 public:
  explicit SliceCursor(std::span<const grpc::Slice> slices) : slices_(slices) {
    for (const grpc::Slice& slice : slices) left_ += slice.size();
  }

  size_t left() const { return left_; }

  bool ReadVarint(uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 64 && left_ > 0; shift += 7) {
      while (offset_ == slices_[slice_].size()) NextSlice();
      const uint64_t byte = slices_[slice_].begin()[offset_++];
      --left_;
      *value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  // Returns the slice that has all of the next bytes, or null if none has.
  const grpc::Slice* Whole(size_t count) const {
    const bool whole = count > 0 && count <= slices_[slice_].size() - offset_;
    return whole ? &slices_[slice_] : nullptr;
  }

  // Returns the next bytes, which one slice has.
  std::span<const uint8_t> TakeWhole(size_t count) {
    const uint8_t* const begin = slices_[slice_].begin() + offset_;
    offset_ += count;
    left_ -= count;
    return {begin, count};
  }

  // Returns the next bytes, which must be at most left(). They share the
  // slices' memory.
  Slices Take(size_t count) {
    Slices taken;
    while (count > 0) {
      const grpc::Slice& slice = slices_[slice_];
      const size_t part = std::min(count, slice.size() - offset_);
      if (part > 0) taken.push_back(slice.sub(offset_, offset_ + part));
      offset_ += part;
      left_ -= part;
      count -= part;
      if (count > 0) NextSlice();
    }
    return taken;
  }

 private:
  void NextSlice() {
    ++slice_;
    offset_ = 0;
  }

  const std::span<const grpc::Slice> slices_;
  size_t slice_ = 0;
  size_t offset_ = 0;
  size_t left_ = 0;
};

// Makes the failure the outcome of an answer.
void TakeFailure(const v1::Failure& failure, EntryAnswer* answer) {
  // No server fails an entry with OK.
  answer->status = absl::Status(
      failure.code() == 0 ? absl::StatusCode::kInternal
                          : static_cast<absl::StatusCode>(failure.code()),
      failure.message());
  if (failure.has_retry_delay()) {
    answer->retry_delay = absl::Seconds(failure.retry_delay().seconds()) +
                          absl::Nanoseconds(failure.retry_delay().nanos());
  }
}

// Reads the outcome `number` of an entry. `bytes` lie in the slice.
bool ReadOutcome(uint32_t number, const grpc::Slice& slice,
                 std::span<const uint8_t> bytes, EntryAnswer* answer) {
  if (number == Entry::kResponseFieldNumber) {
    const auto begin = static_cast<size_t>(bytes.data() - slice.begin());
    answer->response.push_back(slice.sub(begin, begin + bytes.size()));
    return true;
  }
  v1::Failure failure;
  if (!std::in_range<int>(bytes.size()) ||
      !failure.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return false;
  }
  TakeFailure(failure, answer);
  return true;
}

// Reads an entry that lies in one slice, which has the bytes of `entry`, if it
// has one outcome and no group. Otherwise returns false; the entry may be good
// all the same.
bool ReadEntry(const grpc::Slice& slice, std::span<const uint8_t> entry,
               EntryAnswer* answer) {
  WireCursor in(entry);
  bool answered = false;
  while (!in.AtEnd()) {
    uint32_t number;
    uint32_t type;
    uint64_t value;
    std::span<const uint8_t> bytes;
    if (!in.ReadTag(&number, &type)) return false;
    if (type == WireCursor::kVarint) {
      if (!in.ReadVarint(&value)) return false;
      if (number == Entry::kIdFieldNumber) answer->id = value;
    } else if (type != WireCursor::kLength) {
      if (!in.SkipFixed(type)) return false;
    } else if (!in.ReadBytes(&bytes)) {
      return false;
    } else if (number == Entry::kResponseFieldNumber ||
               number == Entry::kFailureFieldNumber) {
      if (std::exchange(answered, true)) return false;
      if (!ReadOutcome(number, slice, bytes, answer)) return false;
    }
  }
  return answered;
}

// Reads the head of an entry whose response is the rest of it. Returns the
// head's bytes, or 0 if the entry has another form.
size_t ReadHead(const std::string& head, size_t entry_bytes,
                EntryAnswer* answer) {
  WireCursor in({reinterpret_cast<const uint8_t*>(head.data()), head.size()});
  uint32_t number;
  uint32_t type;
  uint64_t length;
  if (!in.ReadTag(&number, &type) || number != Entry::kIdFieldNumber ||
      type != WireCursor::kVarint || !in.ReadVarint(&answer->id) ||
      !in.ReadTag(&number, &type) || number != Entry::kResponseFieldNumber ||
      type != WireCursor::kLength || !in.ReadVarint(&length)) {
    return 0;
  }
  const auto size = static_cast<size_t>(
      in.at() - reinterpret_cast<const uint8_t*>(head.data()));
  return size + length == entry_bytes ? size : 0;
}

// Reads an entry that several slices share.
bool ReadSplitEntry(Slices slices, EntryAnswer* answer) {
  const size_t bytes = SizeOf(slices);
  if (bytes > kMaxJoinedBytes) {
    const size_t head = ReadHead(Join(slices, kMaxHeadBytes), bytes, answer);
    if (head > 0) {
      Drop(head, &slices);
      answer->response = std::move(slices);
      return true;
    }
  }
  const grpc::Slice joined(Join(slices, bytes));
  return ReadEntry(joined, BytesOf(joined), answer);
}

// Reads a message of entries alone, each with one outcome. Otherwise returns
// false; the message may be good all the same.
bool ReadPlainly(std::span<const grpc::Slice> slices,
                 std::vector<EntryAnswer>* answers) {
  for (SliceCursor in(slices); in.left() > 0;) {
    uint64_t tag;
    uint64_t length;
    if (!in.ReadVarint(&tag) || tag != kEntriesTag || !in.ReadVarint(&length) ||
        length > in.left()) {
      return false;
    }
    const grpc::Slice* const whole = in.Whole(length);
    EntryAnswer* const answer = &answers->emplace_back();
    const bool good = whole != nullptr
                          ? ReadEntry(*whole, in.TakeWhole(length), answer)
                          : ReadSplitEntry(in.Take(length), answer);
    if (!good) return false;
  }
  return true;
}

// Reads any message, with copies. Returns false if it is no
// ComputeLossesResponse, or has an entry without an outcome.
bool ReadWithProtobuf(grpc::ByteBuffer message,
                      std::vector<EntryAnswer>* answers) {
  v1::ComputeLossesResponse parsed;
  grpc::ProtoBufferReader reader(&message);
  if (!parsed.ParseFromZeroCopyStream(&reader)) return false;
  answers->clear();
  for (const Entry& entry : parsed.entries()) {
    EntryAnswer& answer = answers->emplace_back();
    answer.id = entry.id();
    if (entry.has_response()) {
      answer.response.emplace_back(entry.response().SerializeAsString());
    } else if (entry.has_failure()) {
      TakeFailure(entry.failure(), &answer);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

absl::StatusOr<std::vector<EntryAnswer>> ReadAnswers(
    const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  std::vector<EntryAnswer> answers;
  if (!message.Valid()) return answers;
  if ((message.Dump(&slices).ok() && ReadPlainly(slices, &answers)) ||
      ReadWithProtobuf(message, &answers)) {
    return answers;
  }
  return absl::InternalError("the answer is not a ComputeLossesResponse");
}

}  // namespace lossd::client
