#include "server/wire/slice_queue.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace lossd::wire {
namespace {

std::string TextOf(const std::vector<grpc::Slice>& slices) {
  std::string text;
  for (const grpc::Slice& slice : slices) {
    text.append(slice.begin(), slice.end());
  }
  return text;
}

TEST(SliceQueue, GivesTheBytesInTheirOrderHoweverTheyCameAndGo) {
  std::mt19937 random(5);
  SliceQueue queue;
  std::string in, out;
  for (int round = 0; round < 500; ++round) {
    std::string piece(random() % 100, '\0');
    for (char& c : piece) c = static_cast<char>(random());
    in += piece;
    queue.Append(grpc::Slice(piece));
    std::vector<grpc::Slice> taken;
    queue.Take(random() % (queue.bytes() + 1), &taken);
    out += TextOf(taken);
    EXPECT_EQ(queue.bytes(), in.size() - out.size());
  }
  std::vector<grpc::Slice> rest;
  queue.Take(queue.bytes(), &rest);
  EXPECT_TRUE(in == out + TextOf(rest));
}

TEST(SliceQueue, SharesTheMemoryOfTheSlices) {
  const std::string bytes(1000, 'x');
  const grpc::Slice slice(bytes);
  SliceQueue queue;
  queue.Append(slice);
  std::vector<grpc::Slice> taken;
  queue.Take(600, &taken);
  queue.Take(400, &taken);
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken[0].begin(), slice.begin());
  EXPECT_EQ(taken[1].begin(), slice.begin() + 600);
}

TEST(SliceQueue, HoldsBytesThatComeOneByOneInFewSlices) {
  constexpr size_t kBytes = 100000;
  std::mt19937 random(6);
  SliceQueue queue;
  std::string in;
  for (size_t i = 0; i < kBytes; ++i) {
    in.push_back(static_cast<char>(random()));
    queue.Append(grpc::Slice(&in.back(), 1));
  }
  std::vector<grpc::Slice> taken;
  queue.Take(kBytes, &taken);
  EXPECT_LE(taken.size(), kBytes / 500);
  EXPECT_TRUE(TextOf(taken) == in);
}

TEST(SliceQueue, IsEmptyAfterClear) {
  SliceQueue queue;
  queue.Append(grpc::Slice("abc"));
  queue.Clear();
  EXPECT_EQ(queue.bytes(), 0U);
  queue.Append(grpc::Slice("d"));
  std::vector<grpc::Slice> taken;
  queue.Take(1, &taken);
  EXPECT_EQ(TextOf(taken), "d");
}

}  // namespace
}  // namespace lossd::wire
