#include "client/cpp/message/slice_tracker.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace lossd::client {
namespace {

TEST(SliceTrackerTest, NothingLentIsReturnedAtOnce) {
  auto tracker = SliceTracker::Make();
  EXPECT_TRUE(tracker->AllDroppedOrElse([] { FAIL() << "it runs never"; }));
}

TEST(SliceTrackerTest, TheCallbackRunsOnceWhenTheLastReferenceIsDropped) {
  auto tracker = SliceTracker::Make();
  const std::vector<std::byte> memory(100);
  std::optional<grpc::Slice> first = tracker->MakeSlice(memory);
  std::optional<grpc::Slice> second = tracker->MakeSlice(memory);
  std::optional<grpc::Slice> copy = *first;
  int runs = 0;
  EXPECT_FALSE(tracker->AllDroppedOrElse([&] { ++runs; }));
  first.reset();
  second.reset();
  EXPECT_EQ(runs, 0);
  copy.reset();
  EXPECT_EQ(runs, 1);
}

}  // namespace
}  // namespace lossd::client
