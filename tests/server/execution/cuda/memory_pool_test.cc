#include "server/execution/cuda/memory_pool.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"

namespace lossd::execution::cuda {
namespace {

constexpr size_t kKi = 1024;

using Pool = MemoryPool<PinnedMemory>;

// Memory that is never accessed: the addresses count up.
class MemoryPoolTest : public ::testing::Test {
 protected:
  Pool Make(uint64_t max_bytes) {
    return Pool(
        max_bytes,
        [this](size_t bytes) -> absl::StatusOr<PinnedMemory> {
          allocated_.push_back(bytes);
          if (bytes > available_) return absl::ResourceExhaustedError("none");
          available_ -= bytes;
          next_ += bytes;
          return PinnedMemory{reinterpret_cast<std::byte*>(next_), bytes};
        },
        [this](PinnedMemory memory) {
          if (failing_frees_ > 0) {
            --failing_frees_;
            return why_frees_fail_;
          }
          freed_.push_back(memory.size);
          available_ += memory.size;
          return absl::OkStatus();
        });
  }

  size_t next_ = 4096;
  size_t available_ = size_t{1} << 40;
  int failing_frees_ = 0;
  absl::Status why_frees_fail_ = absl::InternalError("asked for");
  std::vector<size_t> allocated_;
  std::vector<size_t> freed_;
};

TEST_F(MemoryPoolTest, LendsWhatCameBackInsteadOfAllocating) {
  Pool pool = Make(1 << 30);
  const std::byte* first = nullptr;
  {
    const auto lease = pool.Acquire(100 * kKi);
    first = lease->memory().data;
    EXPECT_GE(lease->memory().size, 100 * kKi);
  }
  for (const size_t bytes : {100 * kKi, 1 * kKi + 32 * kKi, 128 * kKi}) {
    EXPECT_EQ(pool.Acquire(bytes)->memory().data, first);
  }
  EXPECT_EQ(allocated_, std::vector<size_t>{128 * kKi});
}

TEST_F(MemoryPoolTest, WhatIsLentIsNotLentAgain) {
  Pool pool = Make(1 << 30);
  const auto first = pool.Acquire(10);
  const auto second = pool.Acquire(10);
  EXPECT_NE(first->memory().data, second->memory().data);
  EXPECT_EQ(pool.bytes(), 2 * 64 * kKi);
}

TEST_F(MemoryPoolTest, ASmallBatchDoesNotTakeAHugeBuffer) {
  Pool pool = Make(1 << 30);
  ASSERT_TRUE(pool.Acquire(1024 * kKi).ok());
  const auto small = pool.Acquire(10);
  EXPECT_EQ(small->memory().size, 64 * kKi);
}

TEST_F(MemoryPoolTest, MakesRoomByFreeingWhatIsKept) {
  Pool pool = Make(1024 * kKi);
  {
    const auto small = pool.Acquire(64 * kKi);
    const auto large = pool.Acquire(512 * kKi);
  }
  const auto all = pool.Acquire(1000 * kKi);
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(freed_, (std::vector<size_t>{512 * kKi, 64 * kKi}));
  EXPECT_LE(pool.bytes(), 1024 * kKi);
}

TEST_F(MemoryPoolTest, TakesWhatIsLeftWhereAPowerOfTwoDoesNotFit) {
  Pool pool = Make(1000 * kKi);
  EXPECT_EQ(pool.Acquire(900 * kKi)->memory().size, 900 * kKi);
}

TEST_F(MemoryPoolTest, MoreThanTheLimitIsRefusedWithoutAskingTheDevice) {
  Pool pool = Make(1000 * kKi);
  EXPECT_TRUE(absl::IsOutOfRange(pool.Acquire(1001 * kKi).status()));
  EXPECT_TRUE(allocated_.empty());
}

// Otherwise a caller that waits for a large buffer might wait for ever.
TEST_F(MemoryPoolTest, WhoeverWaitsIsServedInTurn) {
  Pool pool = Make(1024 * kKi);
  std::optional<Pool::Lease> half = *pool.Acquire(512 * kKi);
  std::vector<size_t> order;
  absl::Notification large_waits;
  std::thread large([&] {
    large_waits.Notify();
    const auto lease = pool.Acquire(1024 * kKi);
    order.push_back(lease->memory().size);
  });
  large_waits.WaitForNotification();
  half.reset();
  large.join();
  const auto small = pool.Acquire(10);
  order.push_back(small->memory().size);
  EXPECT_EQ(order, (std::vector<size_t>{1024 * kKi, 64 * kKi}));
}

TEST_F(MemoryPoolTest, ManyUsersStayWithinTheLimit) {
  constexpr uint64_t kLimit = 512 * kKi;
  absl::Mutex mu;  // the device's
  Pool pool(
      kLimit,
      [&](size_t bytes) -> absl::StatusOr<PinnedMemory> {
        absl::MutexLock lock(&mu);
        next_ += bytes;
        return PinnedMemory{reinterpret_cast<std::byte*>(next_), bytes};
      },
      [](PinnedMemory) { return absl::OkStatus(); });
  std::atomic<int> over = 0;
  std::vector<std::thread> threads;
  for (size_t k = 0; k < 4; ++k) {
    threads.emplace_back([&, k] {
      for (size_t turn = 1; turn < 200; ++turn) {
        const auto lease = pool.Acquire(64 * kKi * (1 + (k * turn) % 8));
        if (!lease.ok() || pool.bytes() > kLimit) ++over;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(over, 0);
}

TEST_F(MemoryPoolTest, ADeviceWithoutMemoryIsAskedAgainOnceAllIsFreed) {
  Pool pool = Make(1 << 30);
  available_ = 1024 * kKi;
  { const auto kept = pool.Acquire(64 * kKi); }
  const auto all = pool.Acquire(1024 * kKi);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(freed_, std::vector<size_t>{64 * kKi});
}

TEST_F(MemoryPoolTest, AnErrorTakesNothingFromTheLimit) {
  Pool pool = Make(1024 * kKi);
  available_ = 0;
  for (int k = 0; k < 3; ++k) {
    EXPECT_TRUE(absl::IsResourceExhausted(pool.Acquire(1024 * kKi).status()));
  }
  available_ = 1024 * kKi;
  EXPECT_TRUE(pool.Acquire(1024 * kKi).ok());
}

// A lost device never returns its memory, so nobody may wait for it.
TEST_F(MemoryPoolTest, AForfeitedBufferIsTheLastAndIsFreedInTheEnd) {
  {
    Pool pool = Make(64 * kKi);
    auto lease = pool.Acquire(64 * kKi);
    absl::Status waited;
    std::thread waiting([&] { waited = pool.Acquire(10).status(); });
    lease->Forfeit();
    waiting.join();
    EXPECT_TRUE(IsSticky(waited));
    EXPECT_TRUE(IsSticky(pool.Acquire(10).status()));
    EXPECT_TRUE(freed_.empty());
  }
  EXPECT_EQ(freed_, std::vector<size_t>{64 * kKi});
}

TEST_F(MemoryPoolTest, WhatCannotBeFreedIsKeptAndFreedInTheEnd) {
  {
    Pool pool = Make(1024 * kKi);
    { const auto kept = pool.Acquire(64 * kKi); }
    failing_frees_ = 1;
    EXPECT_EQ(pool.Acquire(1024 * kKi).status(),
              absl::InternalError("asked for"));
    EXPECT_EQ(pool.bytes(), 64 * kKi);
    EXPECT_TRUE(pool.Acquire(64 * kKi).ok());
    failing_frees_ = 1;  // the second failure is at the end
  }
  EXPECT_EQ(freed_, std::vector<size_t>{64 * kKi});
}

TEST_F(MemoryPoolTest, WhatALostDeviceDidNotFreeIsNeverLentAgain) {
  Pool pool = Make(1024 * kKi);
  { const auto kept = pool.Acquire(64 * kKi); }
  failing_frees_ = 1;
  why_frees_fail_ = absl::UnavailableError("asked for");
  EXPECT_TRUE(IsSticky(pool.Acquire(1024 * kKi).status()));
  EXPECT_TRUE(IsSticky(pool.Acquire(64 * kKi).status()));
}

}  // namespace
}  // namespace lossd::execution::cuda
