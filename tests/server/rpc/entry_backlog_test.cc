#include "server/rpc/entry_backlog.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace lossd::rpc {
namespace {

// Returns an entry whose request has so many bytes, in two slices.
wire::Entry EntryOf(uint64_t id, size_t bytes) {
  wire::Entry entry{.id = id, .timeout = "ab", .has_timeout = true};
  entry.request = {grpc::Slice(std::string(bytes - 1, 'x')), grpc::Slice("y")};
  return entry;
}

constexpr int64_t kOwn = sizeof(wire::Entry);

class EntryBacklogTest : public testing::Test {
 protected:
  EntryBacklogTest() {
    std::vector<wire::Entry> entries;
    entries.push_back(EntryOf(7, 100));
    entries.push_back(EntryOf(8, 1000));
    entries.push_back(wire::Entry{.id = 9});
    backlog_.Fill(std::move(entries), absl::UnixEpoch());
  }

  EntryBacklog backlog_;
};

TEST_F(EntryBacklogTest, CountsTheBytesOfThoseThatWait) {
  EXPECT_EQ(backlog_.size(), 3U);
  EXPECT_EQ(backlog_.bytes(), 102 + 1002 + 3 * kOwn);
  EXPECT_EQ(backlog_.Take().id, 7U);
  EXPECT_EQ(backlog_.bytes(), 1002 + 2 * kOwn);
  const wire::Entry second = backlog_.Take();
  EXPECT_EQ(second.id, 8U);
  EXPECT_EQ(second.request.front().size(), 999U);
  EXPECT_EQ(second.timeout, "ab");
  EXPECT_EQ(backlog_.bytes(), kOwn);
  EXPECT_FALSE(backlog_.empty());
  EXPECT_EQ(backlog_.Take().id, 9U);
  EXPECT_TRUE(backlog_.empty());
  EXPECT_EQ(backlog_.bytes(), 0);
  EXPECT_EQ(backlog_.arrived(), absl::UnixEpoch());
}

TEST_F(EntryBacklogTest, KeepsTheIdsOfThoseThatMayNotWait) {
  backlog_.Take();
  EXPECT_TRUE(backlog_.refusal().ok());
  backlog_.Refuse(absl::ResourceExhaustedError("full"));
  EXPECT_EQ(backlog_.refusal().message(), "full");
  EXPECT_EQ(backlog_.bytes(), 2 * kOwn);
  const wire::Entry entry = backlog_.Take();
  EXPECT_EQ(entry.id, 8U);
  EXPECT_TRUE(entry.request.empty());
  EXPECT_FALSE(entry.has_timeout);
}

TEST_F(EntryBacklogTest, IsAsNewForTheNextMessage) {
  backlog_.Refuse(absl::ResourceExhaustedError("full"));
  backlog_.Fill({}, absl::Now());
  EXPECT_TRUE(backlog_.empty());
  EXPECT_TRUE(backlog_.refusal().ok());
  EXPECT_EQ(backlog_.bytes(), 0);
}

}  // namespace
}  // namespace lossd::rpc
