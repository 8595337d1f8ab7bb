#include "server/rpc/entry_task.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace lossd::rpc {
namespace {

class EntryReturnsTest : public testing::Test {
 protected:
  EntryReturnsTest() {
    for (uint64_t id = 1; id <= 5; ++id) {
      tasks_.push_back(std::make_unique<EntryTask>(nullptr, &returns_));
      tasks_.back()->id = id;
    }
  }
  ~EntryReturnsTest() override {
    queue_.Shutdown();
    EXPECT_FALSE(TagComes());
  }

  // Waits for a tag. Returns false once the queue is shut down and empty.
  bool TagComes() {
    void* tag = nullptr;
    bool ok = false;
    if (!queue_.Next(&tag, &ok)) return false;
    EXPECT_EQ(static_cast<RpcCall::Tag*>(tag)->event, 42);
    return true;
  }
  std::vector<uint64_t> Take() {
    std::vector<uint64_t> ids;
    returns_.TakeAll([&](EntryTask* task) { ids.push_back(task->id); });
    return ids;
  }

  grpc::CompletionQueue queue_;
  EntryReturns returns_{&queue_, {nullptr, 42}};
  std::vector<std::unique_ptr<EntryTask>> tasks_;
};

using Ids = std::vector<uint64_t>;

TEST_F(EntryReturnsTest, OneTagComesForAllThatCameBack) {
  tasks_[2]->OnComputed({});
  tasks_[0]->OnDropped(absl::CancelledError());
  tasks_[1]->OnComputed({});
  EXPECT_TRUE(TagComes());
  EXPECT_EQ(Take(), (Ids{3, 1, 2}));
  EXPECT_EQ(Take(), Ids());
  tasks_[4]->OnComputed({});
  EXPECT_TRUE(TagComes());
  EXPECT_EQ(Take(), Ids{5});
}

TEST_F(EntryReturnsTest, NoTagComesWhileTheyAreHeld) {
  EXPECT_TRUE(returns_.Hold());
  EXPECT_EQ(Take(), Ids());
  EXPECT_TRUE(returns_.Hold());
  tasks_[1]->OnComputed({});
  tasks_[0]->OnComputed({});
  EXPECT_EQ(Take(), (Ids{2, 1}));
}

TEST_F(EntryReturnsTest, ATagOnItsWayIsNotHeld) {
  tasks_[0]->OnComputed({});
  EXPECT_FALSE(returns_.Hold());
  EXPECT_TRUE(TagComes());
  EXPECT_EQ(Take(), Ids{1});
}

// A task is used again while those after it are still taken.
TEST_F(EntryReturnsTest, ATaskMayComeBackWhileTheyAreTaken) {
  EXPECT_TRUE(returns_.Hold());
  tasks_[0]->OnComputed({});
  tasks_[1]->OnComputed({});
  Ids taken;
  returns_.TakeAll([&](EntryTask* task) {
    taken.push_back(task->id);
    if (taken.size() == 1) task->OnComputed({});
  });
  EXPECT_EQ(taken, (Ids{1, 2}));
  EXPECT_TRUE(TagComes());
  EXPECT_EQ(Take(), Ids{1});
}

TEST_F(EntryReturnsTest, TasksComeBackFromAnyThread) {
  std::vector<std::thread> threads;
  for (const auto& task : tasks_) {
    threads.emplace_back([&task] { task->OnComputed({.backend = "test"}); });
  }
  size_t back = 0;
  while (back < tasks_.size()) {
    ASSERT_TRUE(TagComes());
    returns_.TakeAll([&](EntryTask* task) {
      EXPECT_EQ(task->computed().backend, "test");
      ++back;
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace lossd::rpc
