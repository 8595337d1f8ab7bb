// Segments whose tensors already lie on the device.
#ifndef LOSSD_TESTS_KERNELS_CUDA_ON_DEVICE_SEGMENT_H_
#define LOSSD_TESTS_KERNELS_CUDA_ON_DEVICE_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <deque>

#include "kernels/sigmoid_loss.h"
#include "tests/kernels/owned_segment.h"

namespace lossd::kernels::cuda {

// A segment some of whose tensors lie outside the batch. The bits of `which`
// choose them: bit 0 logits, 1 targets, 2 the gradient, 3 to 5 the operands.
// Each begins `shift` elements after an address that is aligned for any vector.
// A Memory is constructed from a number of bytes, begins at get(), which is so
// aligned, and has a static Copy(to, from, bytes) to and from the host.
template <class Memory>
class OnDeviceSegment {
 public:
  OnDeviceSegment(OwnedSegment& owned, unsigned which, uint64_t shift)
      : owned_(owned), segment_(owned.segment) {
    segment_.device = 0;
    if (which & 1) Move(segment_.logits, shift);
    if (which & 2) Move(segment_.targets, shift);
    if (which & 4) {
      segment_.gradient_on_device = MoveResult(segment_.gradient, shift);
      segment_.second_derivative_on_device =
          MoveResult(segment_.second_derivative, shift);
    }
    if (which & 8) Move(segment_.weights.tensor, shift);
    if (which & 16) Move(segment_.pos_weight.tensor, shift);
    if (which & 32) Move(segment_.upstream.tensor, shift);
  }
  const Segment& segment() const { return segment_; }

  // Copies the derivatives from the device to the owned segment's buffers.
  void FetchDerivatives() {
    if (segment_.element_count == 0) return;
    if (segment_.gradient_on_device) {
      Memory::Copy(owned_.segment.gradient, segment_.gradient, ResultBytes());
    }
    if (segment_.second_derivative_on_device) {
      Memory::Copy(owned_.segment.second_derivative, segment_.second_derivative,
                   ResultBytes());
    }
  }

 private:
  uint64_t ResultBytes() const {
    return ByteSize(segment_.gradient_type, segment_.element_count);
  }
  std::byte* Place(ElementType type, uint64_t bytes, uint64_t shift) {
    const uint64_t before = shift * ByteSize(type, 1);
    return memory_.emplace_back(before + bytes).get() + before;
  }
  void Move(Tensor& tensor, uint64_t shift) {
    if (!tensor.present()) return;
    uint64_t bytes = 0;
    for (const Piece& piece : tensor.pieces) bytes += piece.size();
    std::byte* const to = Place(tensor.type, bytes, shift);
    uint64_t at = 0;
    for (const Piece& piece : tensor.pieces) {
      if (!piece.empty()) Memory::Copy(to + at, piece.data(), piece.size());
      at += piece.size();
    }
    tensor.pieces = {&pieces_.emplace_back(to, bytes), 1};
    tensor.on_device = true;
  }
  // Returns false if the result is not asked for.
  bool MoveResult(std::byte*& result, uint64_t shift) {
    if (result == nullptr) return false;
    result = Place(segment_.gradient_type, ResultBytes(), shift);
    return true;
  }

  OwnedSegment& owned_;
  Segment segment_;
  std::deque<Memory> memory_;
  std::deque<Piece> pieces_;
};

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_TESTS_KERNELS_CUDA_ON_DEVICE_SEGMENT_H_
