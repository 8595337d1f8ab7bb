#include "server/rpc/send_progress.h"

#include <grpcpp/support/slice.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace lossd::rpc {
namespace {

struct Piece {
  grpc::Slice memory;
  std::shared_ptr<std::atomic<uint64_t>> sent;

  ~Piece() { sent->fetch_add(1, std::memory_order_relaxed); }
};

grpc::Slice WatchedSlice(grpc::Slice memory,
                         std::shared_ptr<std::atomic<uint64_t>> sent) {
  // A slice whose bytes lie within it moves with the piece.
  auto* const piece = new Piece{std::move(memory), std::move(sent)};
  return grpc::Slice(
      const_cast<uint8_t*>(piece->memory.begin()), piece->memory.size(),
      [](void* owned) { delete static_cast<Piece*>(owned); }, piece);
}

}  // namespace

grpc::ByteBuffer SendProgress::Watch(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  if (message.Length() <= kPieceBytes || !message.Dump(&slices).ok()) {
    return message;
  }
  std::vector<grpc::Slice> pieces;
  for (const grpc::Slice& slice : slices) {
    for (size_t begin = 0; begin < slice.size(); begin += kPieceBytes) {
      const size_t end = std::min(begin + kPieceBytes, slice.size());
      pieces.push_back(WatchedSlice(slice.sub(begin, end), sent_));
    }
  }
  return grpc::ByteBuffer(pieces.data(), pieces.size());
}

bool SendProgress::HasMoved() {
  const uint64_t sent = sent_->load(std::memory_order_relaxed);
  return std::exchange(seen_, sent) != sent;
}

}  // namespace lossd::rpc
