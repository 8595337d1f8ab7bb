#include "server/base/buffer_pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

namespace lossd {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

TEST(BufferPool, BuffersAreAlignedTo64BytesAndAsLargeAsAskedFor) {
  BufferPool pool(kMiB);
  for (size_t size : {1, 63, 64, 65, 4095, 4097, 1 << 20}) {
    Buffer buffer = pool.Take(size);
    ASSERT_EQ(buffer.size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u) << size;
    std::memset(buffer.data(), 0xa5,
                size);  // a sanitizer reports it if this is too much
  }
}

TEST(BufferPool, NoBytesNeedNoMemory) {
  BufferPool pool(kMiB);
  Buffer buffer = pool.Take(0);
  EXPECT_EQ(buffer.data(), nullptr);
  EXPECT_EQ(buffer.size(), 0u);
}

TEST(BufferPool, MoreThanAnyMachineHasIsAnEmptyBuffer) {
  BufferPool pool(kMiB);
  Buffer buffer = pool.Take(~size_t{0});
  EXPECT_EQ(buffer.data(), nullptr);
  EXPECT_EQ(buffer.size(), 0u);
}

TEST(BufferPool, AReturnedBufferIsTakenAgainByItsSizeClass) {
  BufferPool pool(kMiB);
  std::byte* first = nullptr;
  {
    Buffer buffer = pool.Take(5000);
    first = buffer.data();
    EXPECT_EQ(pool.pooled_bytes(), 0u);
  }
  EXPECT_EQ(pool.pooled_bytes(), 8192u);
  Buffer smaller_class = pool.Take(4096);
  EXPECT_NE(smaller_class.data(), first);
  Buffer again = pool.Take(8192);
  EXPECT_EQ(again.data(), first);
  EXPECT_EQ(again.size(), 8192u);
  EXPECT_EQ(pool.pooled_bytes(), 0u);
}

TEST(BufferPool, TheOneReturnedLastIsTakenFirst) {
  BufferPool pool(kMiB);
  Buffer a = pool.Take(4096);
  Buffer b = pool.Take(4096);
  std::byte* last = b.data();
  // The move swaps: the temporary has the old buffer and gives it back.
  a = Buffer();
  b = Buffer();
  EXPECT_EQ(pool.Take(4096).data(), last);
}

TEST(BufferPool, KeepsNoMoreThanItsBound) {
  BufferPool pool(10000);
  {
    Buffer a = pool.Take(4096);
    Buffer b = pool.Take(4096);
    Buffer c = pool.Take(4096);
  }
  EXPECT_EQ(pool.pooled_bytes(), 8192u);
}

TEST(BufferPool, FreesWhatItKeepsBeforeItTakesMoreThanItsBound) {
  BufferPool pool(10000);
  {
    Buffer a = pool.Take(4096);
    Buffer b = pool.Take(4096);
  }
  Buffer small = pool.Take(1024);
  EXPECT_EQ(pool.pooled_bytes(), 8192u);
  { Buffer large = pool.Take(kMiB); }
  EXPECT_EQ(pool.pooled_bytes(), 0u);
}

TEST(BufferPool, TrimFreesAllThatIsKept) {
  BufferPool pool(kMiB);
  Buffer in_use = pool.Take(100);
  { Buffer returned = pool.Take(5000); }
  pool.Trim();
  EXPECT_EQ(pool.pooled_bytes(), 0u);
  in_use = Buffer();
  EXPECT_EQ(pool.pooled_bytes(), 128u);
}

TEST(BufferPool, AMovedBufferIsReturnedOnce) {
  BufferPool pool(kMiB);
  {
    Buffer a = pool.Take(100);
    std::byte* data = a.data();
    Buffer b(std::move(a));
    EXPECT_EQ(b.data(), data);
    EXPECT_EQ(b.size(), 100u);
    Buffer c;
    c = std::move(b);
    EXPECT_EQ(c.data(), data);
  }
  EXPECT_EQ(pool.pooled_bytes(), 128u);
}

TEST(BufferPool, NoTwoThreadsHoldTheSameMemory) {
  BufferPool pool(kMiB);
  auto scribble = [&](unsigned char mark) {
    for (int i = 0; i < 2000; ++i) {
      Buffer buffer = pool.Take(256);
      std::memset(buffer.data(), mark, buffer.size());
      for (size_t k = 0; k < buffer.size(); ++k) {
        ASSERT_EQ(std::to_integer<unsigned char>(buffer.data()[k]), mark);
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned char mark = 1; mark <= 4; ++mark)
    threads.emplace_back(scribble, mark);
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(pool.pooled_bytes(), 4u * 256u);
}

}  // namespace
}  // namespace lossd
