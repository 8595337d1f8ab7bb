#include "server/shared_memory/lent_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>

#include "server/shared_memory/region_socket.h"
#include "server/shared_memory/region_table.h"
#include "tests/server/shared_memory/fake_devices.h"
#include "tests/server/shared_memory/raw_client.h"

namespace lossd::shared_memory {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr Connection kMine = 1;
constexpr Connection kOther = 2;
constexpr uint64_t kBytes = FakeDevices::kBytes;
constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

class LentRegions : public testing::Test {
 protected:
  std::string Lend(Connection owner, int gpu, uint64_t offset, uint64_t bytes) {
    const auto made =
        table_.RegisterLent(owner, FakeDevices::Part(gpu, offset, bytes));
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? made->name : "";
  }
  void ExpectRefused(const v1::RegisterDeviceMemory& lent,
                     absl::StatusCode code, const std::string& says) {
    const auto made = table_.RegisterLent(kMine, lent);
    EXPECT_EQ(made.status().code(), code) << made.status();
    EXPECT_THAT(std::string(made.status().message()), HasSubstr(says));
    EXPECT_EQ(devices_.opened, devices_.closed);
    EXPECT_EQ(table_.lent_bytes(), 0);
  }

  FakeDevices devices_;
  RegionTable table_{{.max_bytes = 1,
                      .max_bytes_per_connection = 1,
                      .max_regions_per_connection = 3},
                     &devices_};
};

TEST_F(LentRegions, AreThePartThatTheClientNames) {
  const auto made = table_.RegisterLent(kMine, FakeDevices::Part(1, 128, 999));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->byte_size, 999u);
  EXPECT_FALSE(made->file.open());
  const auto region = table_.Find(made->name);
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->device(), 1);
  EXPECT_EQ((*region)->bytes().data(), FakeDevices::AddressOf(1) + 128);
  EXPECT_EQ((*region)->bytes().size(), 999u);
}

TEST_F(LentRegions, CountAsRegionsAndNotAsBytes) {
  for (int k = 0; k < 3; ++k) Lend(kMine, 0, 0, kBytes);
  EXPECT_EQ(table_.bytes(), 0);
  EXPECT_EQ(table_.lent_bytes(), static_cast<int64_t>(3 * kBytes));
  const auto refused =
      table_.RegisterLent(kMine, FakeDevices::Part(0, 0, kBytes));
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status()));
  Lend(kOther, 0, 0, kBytes);
  EXPECT_EQ(devices_.opened, 4);
}

TEST_F(LentRegions, AreClosedOnceWhenTheyEnd) {
  const std::string name = Lend(kMine, 0, 0, 64);
  EXPECT_TRUE(absl::IsFailedPrecondition(table_.Release(kOther, name)));
  EXPECT_EQ(devices_.closed, 0);
  EXPECT_TRUE(table_.Release(kMine, name).ok());
  EXPECT_EQ(devices_.closed, 1);
  EXPECT_EQ(table_.lent_bytes(), 0);
  Lend(kMine, 0, 0, 64);
  Lend(kMine, 1, 64, 64);
  table_.ReleaseAll(kMine);
  EXPECT_EQ(devices_.closed, 3);
}

TEST_F(LentRegions, StayOpenUntilTheLastRequestHasEnded) {
  const std::string name = Lend(kMine, 0, 0, 64);
  auto held = *table_.Find(name);
  table_.ReleaseAll(kMine);
  EXPECT_TRUE(absl::IsFailedPrecondition(table_.Find(name).status()));
  EXPECT_EQ(devices_.closed, 0);
  EXPECT_EQ(table_.lent_bytes(), 64);
  held.reset();
  EXPECT_EQ(devices_.closed, 1);
}

TEST_F(LentRegions, AreWithinTheirAllocation) {
  Lend(kMine, 0, 0, kBytes);
  Lend(kMine, 0, kBytes - 64, 64);
  table_.ReleaseAll(kMine);
  const uint64_t parts[][2] = {
      {0, kBytes + 1},    {64, kBytes},        {kBytes, 1}, {kBytes + 64, 1},
      {kMost - 63, 64},   {kMost - 63, kMost}, {64, kMost}, {64, kMost - 63},
      {kMost - 127, 127}, {0, kMost}};
  for (const auto& [offset, size] : parts) {
    ExpectRefused(FakeDevices::Part(0, offset, size),
                  absl::StatusCode::kInvalidArgument,
                  absl::StrCat("byte_size: ", size, " bytes from ", offset,
                               " are not within the allocation's ", kBytes));
  }
}

TEST_F(LentRegions, BeginAtAMultipleOf64) {
  for (const uint64_t offset : {uint64_t{1}, uint64_t{63}, uint64_t{96}}) {
    ExpectRefused(FakeDevices::Part(0, offset, 8),
                  absl::StatusCode::kInvalidArgument,
                  absl::StrCat("offset: ", offset, " is not a multiple of 64"));
  }
}

TEST_F(LentRegions, AreRefusedWithoutAWholeUuidAndHandle) {
  v1::RegisterDeviceMemory lent = FakeDevices::Part(0, 0, 64);
  for (const size_t size : {0, 15, 17, 4000}) {
    lent.set_device_uuid(std::string(size, '\1'));
    ExpectRefused(lent, absl::StatusCode::kInvalidArgument,
                  absl::StrCat("device_uuid: ", size, " bytes"));
  }
  lent = FakeDevices::Part(0, 0, 64);
  for (const size_t size : {0, 63, 65}) {
    lent.set_ipc_handle(std::string(size, '\1'));
    ExpectRefused(lent, absl::StatusCode::kInvalidArgument,
                  absl::StrCat("ipc_handle: ", size, " bytes"));
  }
  ExpectRefused(FakeDevices::Part(0, 0, 0), absl::StatusCode::kInvalidArgument,
                "byte_size: a region of 0 bytes");
}

TEST_F(LentRegions, AreRefusedAsTheDevicesSay) {
  ExpectRefused(FakeDevices::Part(2, 0, 64), absl::StatusCode::kNotFound,
                "no such GPU");
  devices_.fails_with = absl::UnavailableError("lost");
  ExpectRefused(FakeDevices::Part(0, 0, 64), absl::StatusCode::kUnavailable,
                "lost");
}

TEST_F(LentRegions, AreUnimplementedWithoutAGpu) {
  RegionTable table({});
  EXPECT_TRUE(absl::IsUnimplemented(
      table.RegisterLent(kMine, FakeDevices::Part(0, 0, 64)).status()));
}

TEST_F(LentRegions, AreTheConnectionsThatLentThem) {
  const std::string path = TestSocketPath();
  const auto server = RegionSocket::Start({.path = path}, &table_);
  ASSERT_TRUE(server.ok()) << server.status();
  RawClient client(path);
  const auto answer = client.Lend(FakeDevices::Part(1, 64, 64));
  ASSERT_TRUE(answer.has_value());
  EXPECT_FALSE(answer->file.open());
  EXPECT_EQ(answer->reply.region().byte_size(), 64u);
  EXPECT_TRUE(table_.Find(answer->reply.region().name()).ok());
  const auto refused = client.Lend(FakeDevices::Part(1, 1, 64));
  EXPECT_THAT(refused->reply.error().message(), StartsWith("offset: 1"));
  EXPECT_EQ(refused->reply.error().code(),
            static_cast<int32_t>(absl::StatusCode::kInvalidArgument));
  client.Close();
  RawClient last(path);  // it is served after the client above
  EXPECT_TRUE(last.Release("x").has_value());
  EXPECT_EQ(devices_.closed, 1);
}

}  // namespace
}  // namespace lossd::shared_memory
