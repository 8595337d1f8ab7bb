#include "server/shared_memory/region_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

namespace lossd::shared_memory {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

const auto kPage = static_cast<int64_t>(sysconf(_SC_PAGESIZE));
constexpr Connection kMine = 1;
constexpr Connection kOther = 2;

RegionLimits SmallLimits() {
  return {.max_bytes = 4 * kPage,
          .max_bytes_per_connection = 3 * kPage,
          .max_regions_per_connection = 2,
          .max_remembered_names = 2};
}

class Table : public testing::Test {
 protected:
  // Registers a region and closes its descriptor.
  std::string Make(Connection owner, int64_t bytes) {
    const auto made = table_.Register(owner, static_cast<uint64_t>(bytes));
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? made->name : "";
  }
  absl::StatusCode CodeOf(Connection owner, int64_t bytes) {
    return table_.Register(owner, static_cast<uint64_t>(bytes)).status().code();
  }
  RegionTable table_{SmallLimits()};
};

TEST_F(Table, ANameIsRandomAndFindsItsRegion) {
  std::set<std::string> names;
  for (int i = 0; i < 100; ++i) {
    const std::string name = Make(kMine, kPage);
    EXPECT_THAT(name, MatchesRegex("[0-9a-f]{32}"));
    EXPECT_TRUE(names.insert(name).second);
    const auto found = table_.Find(name);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ((*found)->bytes().size(), static_cast<size_t>(kPage));
    EXPECT_TRUE(table_.Release(kMine, name).ok());
  }
}

TEST_F(Table, AConnectionHasItsOwnLimitOfBytes) {
  Make(kMine, 2 * kPage);
  const auto refused = table_.Register(kMine, static_cast<uint64_t>(kPage + 1));
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status()));
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("this connection"));
  Make(kMine, kPage);
}

TEST_F(Table, AllConnectionsShareALimitOfBytes) {
  const std::string name = Make(kMine, 3 * kPage);
  Make(kOther, kPage);
  const auto refused = table_.Register(kOther, static_cast<uint64_t>(kPage));
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status()));
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("all regions"));
  EXPECT_TRUE(table_.Release(kMine, name).ok());
  Make(kOther, kPage);
}

TEST_F(Table, AConnectionHasALimitOfRegions) {
  const std::string name = Make(kMine, 1);
  Make(kMine, 1);
  EXPECT_EQ(CodeOf(kMine, 1), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(table_.Release(kMine, name).ok());
  Make(kMine, 1);
}

TEST_F(Table, WhatIsRefusedTakesNothing) {
  EXPECT_EQ(CodeOf(kMine, 0), absl::StatusCode::kInvalidArgument);
  for (const int64_t bytes : {4 * kPage, int64_t{1} << 62, int64_t{-1}}) {
    EXPECT_EQ(CodeOf(kMine, bytes), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(table_.bytes(), 0);
  Make(kMine, 3 * kPage);
}

// The region is within the limit, but the machine has not got the memory.
TEST(UnlimitedTable, WhatTheMachineRefusesTakesNothing) {
  ASSERT_LT(machine::AvailableMemory(), uint64_t{1} << 50);
  RegionTable table({.max_bytes = int64_t{1} << 62,
                     .max_bytes_per_connection = int64_t{1} << 62});
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(absl::IsResourceExhausted(
        table.Register(kMine, uint64_t{1} << 62).status()));
  }
  EXPECT_EQ(table.bytes(), 0);
}

TEST_F(Table, ARegionThatNeverWasIsToldApartFromOneThatIsGone) {
  const std::string name = Make(kMine, kPage);
  EXPECT_TRUE(table_.Release(kMine, name).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(table_.Find(name).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(table_.Release(kMine, name)));
  EXPECT_TRUE(absl::IsNotFound(table_.Find("nosuch").status()));
  EXPECT_TRUE(absl::IsNotFound(table_.Release(kMine, "nosuch")));
}

TEST_F(Table, OnlyTheNewestEndedNamesAreRemembered) {
  std::vector<std::string> names;
  for (int i = 0; i < 3; ++i) {
    names.push_back(Make(kMine, kPage));
    EXPECT_TRUE(table_.Release(kMine, names.back()).ok());
  }
  EXPECT_TRUE(absl::IsNotFound(table_.Find(names[0]).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(table_.Find(names[1]).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(table_.Find(names[2]).status()));
}

TEST_F(Table, NobodyReleasesAnothersRegion) {
  const std::string name = Make(kMine, kPage);
  EXPECT_TRUE(absl::IsFailedPrecondition(table_.Release(kOther, name)));
  table_.ReleaseAll(kOther);
  EXPECT_TRUE(table_.Find(name).ok());
}

TEST_F(Table, AHeldRegionOutlivesItsReleaseAndCountsUntilThen) {
  const std::string name = Make(kMine, 2 * kPage);
  auto held = table_.Find(name);
  ASSERT_TRUE(held.ok());
  (*held)->bytes()[0] = std::byte{7};
  table_.ReleaseAll(kMine);
  EXPECT_TRUE(absl::IsFailedPrecondition(table_.Find(name).status()));
  EXPECT_EQ((*held)->bytes()[0], std::byte{7});
  EXPECT_EQ(table_.bytes(), 2 * kPage);
  // The bytes return to the connection's limit at once, to the server's later.
  EXPECT_EQ(CodeOf(kMine, 3 * kPage), absl::StatusCode::kResourceExhausted);
  held = absl::UnknownError("let go");
  EXPECT_EQ(table_.bytes(), 0);
  Make(kMine, 3 * kPage);
}

TEST_F(Table, TheEndOfAConnectionEndsAllItsRegionsAndNoOthers) {
  const std::string first = Make(kMine, kPage);
  const std::string second = Make(kMine, kPage);
  const std::string other = Make(kOther, kPage);
  table_.ReleaseAll(kMine);
  EXPECT_TRUE(absl::IsFailedPrecondition(table_.Find(first).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(table_.Find(second).status()));
  EXPECT_TRUE(table_.Find(other).ok());
  EXPECT_EQ(table_.bytes(), kPage);
}

TEST(TableOfThreads, EveryByteComesBack) {
  RegionTable table({.max_bytes = 8 * kPage});
  std::vector<std::thread> threads;
  for (Connection owner = 1; owner <= 4; ++owner) {
    threads.emplace_back([&table, owner] {
      for (int i = 0; i < 200; ++i) {
        const auto made =
            table.Register(owner, static_cast<uint64_t>(3 * kPage));
        if (!made.ok()) continue;
        const auto held = table.Find(made->name);
        EXPECT_LE(table.bytes(), 8 * kPage);
        if (i % 2 == 0) {
          EXPECT_TRUE(table.Release(owner, made->name).ok());
        } else {
          table.ReleaseAll(owner);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(table.bytes(), 0);
}

}  // namespace
}  // namespace lossd::shared_memory
