// Reads protobuf's wire format from a list of slices.
#ifndef LOSSD_SERVER_WIRE_WIRE_READER_H_
#define LOSSD_SERVER_WIRE_WIRE_READER_H_

#include <grpcpp/support/slice.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/sigmoid_loss.h"
#include "server/wire/wire_format.h"

namespace lossd::wire {

// Reads forward, wherever slices end. Borrows the slices, which must not move.
//
// It reads only the form that every protobuf writer writes: varints of the
// least possible length, and no groups. A read that finds another form or the
// end of the slices fails; the reader is then of no more use, and its owner
// gives the bytes to the generated parser. Failures are not std::optional,
// which GCC 12 returns too slowly for this path. Not thread-safe.
class WireReader {
 public:
  explicit WireReader(std::span<const grpc::Slice> slices);

  // The number of bytes that have not been read.
  uint64_t left() const { return left_; }

  // Returns false unless a varint of at most ten bytes comes next.
  bool ReadVarint(uint64_t* value) {
    // Almost all varints are one byte.
    if (left_ > 0 && offset_ < slices_[slice_].size()) {
      *value = slices_[slice_].begin()[offset_];
      if (*value < 0x80) {
        Advance(1);
        return true;
      }
    }
    return ReadLongVarint(value);
  }

  // Returns a tag of number 0 if no tag comes next, or its field number is not
  // one that protobuf allows.
  Tag ReadTag();

  // Reads the length of a field in a message that ends where `end` bytes are
  // left. Returns a negative number if no length comes next, if the field would
  // reach beyond that end, or if it is longer than the generated parser
  // accepts.
  int64_t ReadLength(uint64_t end);

  // Appends to `out` the field that `tag`, which was just read, begins. Returns
  // false if the field is a group or reaches beyond `end`.
  bool CopyField(Tag tag, uint64_t end, std::string* out);

  // The next three take `count` bytes, which must be at most left().

  // Appends the bytes.
  void Copy(uint64_t count, std::string* out);

  // Appends the places of the bytes in the slices; none of them is empty.
  void Locate(uint64_t count, std::vector<kernels::Piece>* out);

  // Appends slices that share the bytes' memory.
  void Share(uint64_t count, std::vector<grpc::Slice>* out);

 private:
  // Returns the unread bytes of the current slice, at most `limit`. The result
  // is empty only if left() or `limit` is 0.
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

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_WIRE_READER_H_
