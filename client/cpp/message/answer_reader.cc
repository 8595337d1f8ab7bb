#include "client/cpp/message/answer_reader.h"

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

constexpr uint32_t kEntriesField =
    v1::ComputeLossesResponse::kEntriesFieldNumber;

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

bool ReadFailure(std::span<const uint8_t> bytes, EntryAnswer* answer) {
  v1::Failure failure;
  if (!failure.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return false;
  }
  // No server fails an entry with OK.
  answer->status = absl::Status(
      failure.code() == 0 ? absl::StatusCode::kInternal
                          : static_cast<absl::StatusCode>(failure.code()),
      failure.message());
  if (failure.has_retry_delay()) {
    answer->retry_delay = absl::Seconds(failure.retry_delay().seconds()) +
                          absl::Nanoseconds(failure.retry_delay().nanos());
  }
  return true;
}

// Reads an entry that lies in one slice, which has the bytes of `entry`.
bool ReadEntry(const grpc::Slice& slice, std::span<const uint8_t> entry,
               EntryAnswer* answer) {
  WireCursor in(entry);
  bool answered = false;
  while (!in.AtEnd()) {
    uint32_t number;
    uint32_t type;
    std::span<const uint8_t> bytes;
    if (!in.ReadTag(&number, &type)) return false;
    if (type == WireCursor::kVarint) {
      uint64_t value;
      if (!in.ReadVarint(&value)) return false;
      if (number == Entry::kIdFieldNumber) answer->id = value;
      continue;
    }
    if (type != WireCursor::kLength || !in.ReadBytes(&bytes)) return false;
    if (number == Entry::kResponseFieldNumber) {
      const auto begin = static_cast<size_t>(bytes.data() - slice.begin());
      answer->response.clear();
      answer->response.push_back(slice.sub(begin, begin + bytes.size()));
      answered = true;
    } else if (number == Entry::kFailureFieldNumber) {
      if (!ReadFailure(bytes, answer)) return false;
      answered = true;
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

}  // namespace

absl::StatusOr<std::vector<EntryAnswer>> ReadAnswers(
    const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  std::vector<EntryAnswer> answers;
  bool good = !message.Valid() || message.Dump(&slices).ok();
  for (SliceCursor in(slices); good && in.left() > 0;) {
    uint64_t tag;
    uint64_t length;
    good = in.ReadVarint(&tag) && (tag & 7) == WireCursor::kLength &&
           in.ReadVarint(&length) && length <= in.left();
    if (!good) break;
    if (tag >> 3 != kEntriesField) {
      in.Take(length);
    } else if (const grpc::Slice* const whole = in.Whole(length)) {
      good = ReadEntry(*whole, in.TakeWhole(length), &answers.emplace_back());
    } else {
      good = ReadSplitEntry(in.Take(length), &answers.emplace_back());
    }
  }
  if (good) return answers;
  return absl::InternalError("the answer is not a ComputeLossesResponse");
}

}  // namespace lossd::client
