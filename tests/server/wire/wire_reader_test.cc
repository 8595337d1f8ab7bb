#include "server/wire/wire_reader.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace lossd::wire {
namespace {

// Returns the bytes in slices of one byte each, which is the hardest cut.
std::vector<grpc::Slice> Bytewise(const std::string& bytes) {
  std::vector<grpc::Slice> slices;
  for (const char& byte : bytes) slices.emplace_back(&byte, 1);
  return slices;
}

TEST(WireReader, ReadsTheVarintsThatWritersWrite) {
  for (const uint64_t value :
       {uint64_t{0}, uint64_t{1}, uint64_t{127}, uint64_t{128}, uint64_t{16384},
        std::numeric_limits<uint64_t>::max()}) {
    std::string bytes;
    AppendVarint(value, &bytes);
    const auto slices = Bytewise(bytes);
    WireReader reader(slices);
    uint64_t read;
    ASSERT_TRUE(reader.ReadVarint(&read)) << value;
    EXPECT_EQ(read, value);
    EXPECT_EQ(reader.left(), 0U);
  }
}

TEST(WireReader, RefusesVarintsThatAreCutShortOrLongerThanTheyMustBe) {
  using std::string_literals::operator""s;
  for (const std::string& bytes :
       {""s, "\x80"s, "\x80\x00"s, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"s,
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s}) {
    const auto slices = Bytewise(bytes);
    uint64_t read;
    EXPECT_FALSE(WireReader(slices).ReadVarint(&read))
        << testing::PrintToString(bytes);
  }
}

TEST(WireReader, ReadsTagsOfTheFieldNumbersThatProtobufAllows) {
  for (const uint32_t number : {1U, 15U, 16U, (1U << 29) - 1}) {
    std::string bytes;
    AppendTag({number, kLength}, &bytes);
    const auto slices = Bytewise(bytes);
    const Tag tag = WireReader(slices).ReadTag();
    EXPECT_EQ(tag.number, number);
    EXPECT_EQ(tag.type, kLength);
  }
  for (const uint64_t value : {uint64_t{2}, uint64_t{1} << 32}) {
    std::string bytes;  // field 0, and a number of 30 bits
    AppendVarint(value, &bytes);
    const auto slices = Bytewise(bytes);
    EXPECT_EQ(WireReader(slices).ReadTag().number, 0U) << value;
  }
}

TEST(WireReader, ReadsNoLengthThatReachesBeyondTheMessage) {
  const auto slices = Bytewise(
      "\x03"
      "abcdef");
  EXPECT_EQ(WireReader(slices).ReadLength(0), 3);
  EXPECT_EQ(WireReader(slices).ReadLength(3), 3);
  EXPECT_LT(WireReader(slices).ReadLength(4), 0);
  EXPECT_LT(WireReader(slices).ReadLength(7), 0);
}

TEST(WireReader, CopiesFieldsOfEveryTypeButGroups) {
  const std::string fields = std::string("\x08\x96\x01", 3) +  // varint
                             "\x11"
                             "12345678" +  // fixed64
                             "\x1a\x02"
                             "ab" +  // bytes
                             "\x25"
                             "1234";  // fixed32
  const auto slices = Bytewise(fields);
  WireReader reader(slices);
  std::string copy;
  while (reader.left() > 0) {
    ASSERT_TRUE(reader.CopyField(reader.ReadTag(), 0, &copy));
  }
  EXPECT_EQ(copy, fields);
  EXPECT_FALSE(reader.CopyField({1, 3}, 0, &copy));  // the start of a group
  EXPECT_FALSE(reader.CopyField({1, kFixed32}, 0, &copy));  // nothing is left
}

TEST(WireReader, LocatesAndSharesBytesWhereTheyLie) {
  const std::vector<grpc::Slice> slices = {grpc::Slice("0123456789"),
                                           grpc::Slice(""), grpc::Slice("ab")};
  WireReader reader(slices);
  std::vector<kernels::Piece> pieces;
  reader.Locate(4, &pieces);
  ASSERT_EQ(pieces.size(), 1U);
  EXPECT_EQ(static_cast<const void*>(pieces[0].data()), slices[0].begin());
  std::vector<grpc::Slice> shared;
  reader.Share(8, &shared);
  ASSERT_EQ(shared.size(), 2U);
  EXPECT_EQ(std::string(shared[0].begin(), shared[0].end()), "456789");
  EXPECT_EQ(std::string(shared[1].begin(), shared[1].end()), "ab");
  EXPECT_EQ(reader.left(), 0U);
}

}  // namespace
}  // namespace lossd::wire
