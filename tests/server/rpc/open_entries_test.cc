#include "server/rpc/open_entries.h"

#include <gtest/gtest.h>

#include <vector>

#include "server/base/clock.h"

namespace lossd::rpc {
namespace {

class OpenEntriesTest : public testing::Test {
 protected:
  ~OpenEntriesTest() override {
    batcher_.Close();
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  SystemClock clock_;
  batching::Batcher batcher_{{}, &clock_};
  CallContext context_{.batcher = &batcher_};
  grpc::CompletionQueue queue_;
  EntryReturns returns_{&queue_, {nullptr, 42}};
  OpenEntries open_{&context_, &returns_};
};

TEST_F(OpenEntriesTest, AnIdIsTakenUntilItsEntryIsClosed) {
  EntryTask* const task = open_.Open(7);
  ASSERT_NE(task, nullptr);
  EXPECT_EQ(task->id, 7U);
  EXPECT_EQ(open_.Open(7), nullptr);
  EXPECT_NE(open_.Open(8), nullptr);
  EXPECT_EQ(open_.tasks(), 2U);
  open_.EndTask(7);
  EXPECT_EQ(open_.tasks(), 1U);
  EXPECT_EQ(open_.Open(7), nullptr);
  open_.Close(7);
  EXPECT_NE(open_.Open(7), nullptr);
}

TEST_F(OpenEntriesTest, TasksAreUsedAgain) {
  EntryTask* const task = open_.Open(1);
  open_.EndTask(1);
  EXPECT_EQ(open_.Open(2), task);
}

TEST_F(OpenEntriesTest, TasksThatNoExecutorHasCanBeRemoved) {
  EntryTask* const queued = open_.Open(1);
  queued->segment.element_count = 1;
  batcher_.Enqueue(queued, /*may_run_inline=*/true);
  open_.Open(2);
  EXPECT_EQ(open_.RemoveFromQueue(), std::vector<EntryTask*>{queued});
  EXPECT_EQ(open_.RemoveFromQueue(), std::vector<EntryTask*>());
}

}  // namespace
}  // namespace lossd::rpc
