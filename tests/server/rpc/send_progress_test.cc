#include "server/rpc/send_progress.h"

#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace lossd::rpc {
namespace {

constexpr size_t kPiece = SendProgress::kPieceBytes;

std::string Text(const grpc::Slice& slice) {
  return {slice.begin(), slice.end()};
}

std::vector<grpc::Slice> SlicesOf(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(message.Dump(&slices).ok());
  return slices;
}

TEST(SendProgress, IsEachPieceOfALargeMessage) {
  std::string bytes(2 * kPiece + 5, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(i * 7 + i / kPiece);
  }
  SendProgress progress;
  std::vector<grpc::Slice> pieces;
  {
    const grpc::Slice parts[] = {grpc::Slice("head"), grpc::Slice(bytes)};
    pieces = SlicesOf(progress.Watch(grpc::ByteBuffer(parts, 2)));
  }
  std::string sent;
  for (const grpc::Slice& piece : pieces) {
    EXPECT_LE(piece.size(), kPiece);
    sent += Text(piece);
  }
  EXPECT_EQ(sent, "head" + bytes);
  EXPECT_FALSE(progress.HasMoved());
  while (!pieces.empty()) {
    pieces.erase(pieces.begin());
    EXPECT_TRUE(progress.HasMoved());
    EXPECT_FALSE(progress.HasMoved());
  }
}

TEST(SendProgress, LeavesSmallMessagesAlone) {
  SendProgress progress;
  const grpc::Slice part(std::string(kPiece, 'x'));
  {
    const std::vector<grpc::Slice> same =
        SlicesOf(progress.Watch(grpc::ByteBuffer(&part, 1)));
    ASSERT_EQ(same.size(), 1U);
    EXPECT_EQ(same.front().begin(), part.begin());
  }
  EXPECT_FALSE(progress.HasMoved());
}

TEST(SendProgress, MayEndBeforeItsPieces) {
  std::vector<grpc::Slice> pieces;
  {
    SendProgress progress;
    const grpc::Slice part(std::string(kPiece + 1, 'x'));
    pieces = SlicesOf(progress.Watch(grpc::ByteBuffer(&part, 1)));
  }
  EXPECT_EQ(pieces.size(), 2U);
  EXPECT_EQ(Text(pieces.back()), "x");
}

}  // namespace
}  // namespace lossd::rpc
