// A place in a list of slices, moving forward.
#ifndef LOSSD_SERVER_WIRE_SLICE_CURSOR_H_
#define LOSSD_SERVER_WIRE_SLICE_CURSOR_H_

#include <grpcpp/support/slice.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/sigmoid_loss.h"

namespace lossd::wire {

// Reads bytes in order, wherever slices end. The slices are borrowed and do not
// move.
class SliceCursor {
 public:
  explicit SliceCursor(std::span<const grpc::Slice> slices);

  // Bytes that are left.
  uint64_t left() const { return left_; }

  // A varint of at most ten bytes in its shortest form: what every writer
  // writes. False for anything else, also for an end within it; the cursor is
  // then of no more use.
  bool ReadVarint(uint64_t* value) {
    // Almost all are one byte.
    if (left_ > 0 && offset_ < slices_[slice_].size()) {
      *value = slices_[slice_].begin()[offset_];
      if (*value < 0x80) {
        Advance(1);
        return true;
      }
    }
    return ReadLongVarint(value);
  }

  // Appends `count` bytes, at most left(), to `out`.
  void Copy(uint64_t count, std::string* out);

  // Appends where `count` bytes, at most left(), lie; no empty pieces.
  void Locate(uint64_t count, std::vector<kernels::Piece>* out);

  // Appends `count` bytes, at most left(), as slices that share their memory.
  void Share(uint64_t count, std::vector<grpc::Slice>* out);

 private:
  // The bytes of the current slice that are left, at most `limit`; not empty
  // unless left() or `limit` is 0.
  std::span<const uint8_t> Chunk(uint64_t limit);
  void Advance(size_t count) {
    offset_ += count;
    left_ -= count;
  }
  bool ReadLongVarint(uint64_t* value);

  std::span<const grpc::Slice> slices_;
  size_t slice_ = 0;
  size_t offset_ = 0;
  uint64_t left_ = 0;
};

// Appends a varint.
inline void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_SLICE_CURSOR_H_
