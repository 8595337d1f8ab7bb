#include "server/shared_memory/region.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tests/server/shared_memory/raw_client.h"

namespace lossd::shared_memory {
namespace {

const auto kPage = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));

TEST(Region, IsWholePagesOfZeros) {
  const auto made = Region::Create(kPage + 1);
  ASSERT_TRUE(made.ok()) << made.status();
  const auto bytes = made->region->bytes();
  EXPECT_EQ(bytes.size(), 2 * kPage);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % kPage, 0U);
  EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(),
                          [](std::byte b) { return b == std::byte{0}; }));
}

TEST(Region, IsTheFilesMemory) {
  const auto made = Region::Create(kPage);
  ASSERT_TRUE(made.ok());
  const Mapping mapping(made->file, kPage);
  mapping.bytes()[17] = std::byte{42};
  EXPECT_EQ(made->region->bytes()[17], std::byte{42});
  made->region->bytes()[18] = std::byte{43};
  EXPECT_EQ(mapping.bytes()[18], std::byte{43});
}

TEST(Region, ItsPagesAreTakenBeforeAnybodyTouchesThem) {
  const auto made = Region::Create(64 * kPage);
  ASSERT_TRUE(made.ok());
  struct stat info;
  ASSERT_EQ(fstat(made->file.number(), &info), 0);
  EXPECT_GE(static_cast<uint64_t>(info.st_blocks) * 512, 64 * kPage);
}

TEST(Region, ItsFileCannotBeShrunkOrGrownOrUnsealed) {
  const auto made = Region::Create(2 * kPage);
  ASSERT_TRUE(made.ok());
  for (const uint64_t size : {uint64_t{0}, kPage, 3 * kPage}) {
    errno = 0;
    EXPECT_EQ(ftruncate(made->file.number(), static_cast<off_t>(size)), -1);
    EXPECT_EQ(errno, EPERM) << size;
  }
  errno = 0;
  EXPECT_EQ(fcntl(made->file.number(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  EXPECT_EQ(errno, EPERM);
  made->region->bytes().back() = std::byte{1};  // the memory is still there
}

TEST(Region, ItsEndGivesThePagesBackThoughAClientMapsThem) {
  auto made = Region::Create(4 * kPage);
  ASSERT_TRUE(made.ok());
  const Mapping mapping(made->file, 4 * kPage);
  mapping.bytes()[0] = std::byte{1};
  made->region.reset();
  struct stat info;
  ASSERT_EQ(fstat(made->file.number(), &info), 0);
  EXPECT_EQ(info.st_blocks, 0);
  EXPECT_EQ(mapping.bytes()[0], std::byte{0});
}

// Notes whether the pages are still there when they are unpinned.
class Pinning final : public HostPinning {
 public:
  bool Pin(std::span<std::byte> pages) override {
    pinned = pages;
    return pins;
  }
  bool Unpin(std::span<std::byte> pages) override {
    unpinned = pages;
    seen = pages[0];
    return unpins;
  }
  bool pins = true;
  bool unpins = true;
  std::span<std::byte> pinned, unpinned;
  std::byte seen{0};
};

TEST(Region, IsUnpinnedBeforeItsPagesAreGivenBack) {
  Pinning pinning;
  auto made = Region::Create(2 * kPage, &machine::AvailableMemory, &pinning);
  ASSERT_TRUE(made.ok());
  EXPECT_TRUE(made->region->pinned());
  EXPECT_EQ(pinning.pinned.data(), made->region->bytes().data());
  EXPECT_EQ(pinning.pinned.size(), 2 * kPage);
  made->region->bytes()[0] = std::byte{7};
  made->region.reset();
  EXPECT_EQ(pinning.unpinned.data(), pinning.pinned.data());
  EXPECT_EQ(pinning.unpinned.size(), 2 * kPage);
  EXPECT_EQ(pinning.seen, std::byte{7});
}

TEST(Region, WorksUnpinnedToo) {
  Pinning pinning;
  pinning.pins = false;
  auto made = Region::Create(kPage, &machine::AvailableMemory, &pinning);
  ASSERT_TRUE(made.ok());
  EXPECT_FALSE(made->region->pinned());
  made->region.reset();
  EXPECT_TRUE(pinning.unpinned.empty());
}

// A lost GPU may still write there.
TEST(Region, PagesThatCannotBeUnpinnedStay) {
  Pinning pinning;
  pinning.unpins = false;
  auto made = Region::Create(kPage, &machine::AvailableMemory, &pinning);
  ASSERT_TRUE(made.ok());
  const Mapping mapping(made->file, kPage);
  made->region.reset();
  pinning.pinned[0] = std::byte{9};
  EXPECT_EQ(mapping.bytes()[0], std::byte{9});
}

TEST(Region, KeepsNoDescriptor) {
  const int before = OpenDescriptors();
  auto made = Region::Create(kPage);
  ASSERT_TRUE(made.ok());
  made->file = FileDescriptor();
  EXPECT_EQ(OpenDescriptors(), before);
}

// No test asks Linux for memory that the machine has not got: Linux would not
// refuse, but kill processes.
TEST(Region, MoreThanIsAvailableIsResourceExhausted) {
  const int before = OpenDescriptors();
  const Region::Available two_pages = [] {
    return (uint64_t{128} << 20) + 2 * kPage;
  };
  for (const uint64_t size :
       {3 * kPage, uint64_t{1} << 62, uint64_t{1} << 63, ~uint64_t{0}}) {
    const auto refused = Region::Create(size, two_pages);
    EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << size;
  }
  EXPECT_TRUE(Region::Create(2 * kPage, two_pages).ok());
  EXPECT_EQ(OpenDescriptors(), before);
}

// Between the first step and the second another process takes all memory.
TEST(Region, MemoryThatGoesMeanwhileIsResourceExhausted) {
  static int calls;
  calls = 0;
  const Region::Available going = [] {
    return ++calls <= 2 ? uint64_t{1} << 30 : uint64_t{0};
  };
  const auto refused = Region::Create(uint64_t{65} << 20, going);
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status()));
  EXPECT_EQ(calls, 3);
}

TEST(WholePages, NeverOverflows) {
  EXPECT_EQ(WholePages(0), 0U);
  EXPECT_EQ(WholePages(1), kPage);
  EXPECT_EQ(WholePages(kPage), kPage);
  EXPECT_EQ(WholePages(~uint64_t{0}), uint64_t{1} << 63);
}

}  // namespace
}  // namespace lossd::shared_memory
