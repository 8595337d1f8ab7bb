#include "server/wire/entry_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "lossd/v1/loss_service.pb.h"
#include "tests/server/wire/in_slices.h"

namespace lossd::wire {
namespace {

using std::string_literals::operator""s;
using ::testing::HasSubstr;

std::string RequestOf(const Entry& entry) {
  std::string request;
  for (const grpc::Slice& slice : entry.request) {
    request.append(slice.begin(), slice.end());
  }
  return request;
}

// Returns a message of one entry with these bytes, which are at most 16,383.
std::string EntryOf(const std::string& bytes) {
  return "\x0a"s + static_cast<char>(0x80 | (bytes.size() & 0x7f)) +
         static_cast<char>(bytes.size() >> 7) + bytes;
}

// Returns groups of field 15 within each other.
std::string Groups(size_t count) {
  return std::string(count, '\x7b') + std::string(count, '\x7c');
}

grpc::ByteBuffer Whole(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Expects the entries that the generated parser reads from the bytes. A request
// or a timeout that is garbage is a failure of its entry alone, so bytes that
// the generated parser refuses are not compared.
void ExpectAsGenerated(const std::string& bytes, std::mt19937& random) {
  v1::ComputeLossesRequest expected;
  if (!expected.ParseFromString(bytes)) return;
  const auto entries = ReadEntries(InSlices(bytes, random));
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(static_cast<int>(entries->size()), expected.entries_size());
  for (int i = 0; i < expected.entries_size(); ++i) {
    const v1::ComputeLossesRequest::Entry& entry = expected.entries(i);
    const Entry& read = (*entries)[i];
    EXPECT_EQ(read.id, entry.id());
    EXPECT_EQ(read.has_timeout, entry.has_timeout());
    google::protobuf::Duration timeout;
    ASSERT_TRUE(timeout.ParseFromString(read.timeout));
    EXPECT_EQ(timeout.SerializeAsString(), entry.timeout().SerializeAsString());
    v1::ComputeLossRequest request;
    ASSERT_TRUE(request.ParseFromString(RequestOf(read)));
    EXPECT_EQ(request.SerializeAsString(), entry.request().SerializeAsString());
  }
}

std::string RandomMessage(std::mt19937& random) {
  v1::ComputeLossesRequest message;
  for (uint32_t i = random() % 4; i > 0; --i) {
    auto* entry = message.add_entries();
    if (random() % 4 != 0) entry->set_id(random());
    if (random() % 2 != 0) entry->mutable_timeout()->set_seconds(random() % 99);
    if (random() % 8 == 0) continue;
    auto* logits = entry->mutable_request()->mutable_logits();
    logits->add_shape(random() % 30);
    logits->set_data(std::string(random() % 60, 'x'));
  }
  return message.SerializeAsString();
}

TEST(EntryReader, ReadsAsTheGeneratedParserDoes) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    // Two messages one after the other are one.
    ExpectAsGenerated(RandomMessage(random) + RandomMessage(random), random);
  }
}

TEST(EntryReader, ReadsChangedBytesAsTheGeneratedParserDoes) {
  std::mt19937 random(2);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = RandomMessage(random);
    if (bytes.empty()) continue;
    bytes[random() % bytes.size()] = static_cast<char>(random());
    ExpectAsGenerated(bytes, random);
  }
}

TEST(EntryReader, FieldsThatComeTwiceAreMerged) {
  v1::ComputeLossesRequest::Entry first;
  first.mutable_request()->mutable_logits()->set_data("abc");
  first.mutable_timeout()->set_seconds(1);
  v1::ComputeLossesRequest::Entry second;
  second.set_id(5);
  second.mutable_request()->set_request_id("r");
  second.mutable_timeout()->set_nanos(7);
  const std::string fields =
      first.SerializeAsString() + second.SerializeAsString();
  const std::string bytes =
      std::string("\x0a") + static_cast<char>(fields.size()) + fields;
  std::mt19937 random(3);
  ExpectAsGenerated(bytes, random);
  const auto entries = ReadEntries(Whole(bytes));
  ASSERT_TRUE(entries.ok());
  EXPECT_EQ(*TimeoutOf(entries->front()),
            absl::Seconds(1) + absl::Nanoseconds(7));
}

// A part takes few bytes on the wire, and a slice for each would take many.
TEST(EntryReader, ARequestOfManyPartsIsOneSlice) {
  std::string parts;
  for (int i = 0; i < 1000; ++i) parts += "\x12\x02\x7a\x00"s;
  const auto entries = ReadEntries(Whole(EntryOf(parts)));
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->front().request.size(), 1U);
  EXPECT_EQ(RequestOf(entries->front()).size(), 2000U);
}

// The bytes of two halves are a message together, but protobuf reads each
// alone.
TEST(EntryReader, HalvesOfAMessageAreRefused) {
  for (const char* field : {"\x12", "\x1a"}) {
    const std::string half = field + "\x01\x08"s;
    const std::string none = field + "\0"s;
    EXPECT_TRUE(ReadEntries(Whole(EntryOf(half))).ok());
    EXPECT_FALSE(ReadEntries(Whole(EntryOf(half + half))).ok());
    EXPECT_FALSE(ReadEntries(Whole(EntryOf(none + half))).ok());
  }
}

TEST(EntryReader, TagsAndLengthsOfMoreThanFiveBytesAreRefused) {
  v1::ComputeLossesRequest message;
  for (const std::string& bytes :
       {"\x8a\x80\x80\x80\x80\x00\x00"s, "\x0a\x80\x80\x80\x80\x80\x00"s,
        "\xf8\x84\xed\xf9\xf5\xfd\xed\xf8\x1a\x00"s}) {
    EXPECT_FALSE(message.ParseFromString(bytes));
    EXPECT_FALSE(ReadEntries(Whole(bytes)).ok());
    EXPECT_FALSE(ReadEntries(Whole(EntryOf(bytes))).ok());
  }
  std::mt19937 random(4);
  const std::string longest =
      "\x8a\x80\x80\x80\x00\x82\x80\x80\x80\x00\x08\x01"s;
  EXPECT_TRUE(message.ParseFromString(longest));
  ExpectAsGenerated(longest, random);
}

TEST(EntryReader, GroupsAreAsDeepAsInTheGeneratedParser) {
  v1::ComputeLossesRequest message;
  EXPECT_TRUE(message.ParseFromString(Groups(100)));
  EXPECT_TRUE(ReadEntries(Whole(Groups(100))).ok());
  EXPECT_FALSE(message.ParseFromString(Groups(101)));
  EXPECT_FALSE(ReadEntries(Whole(Groups(101))).ok());
  EXPECT_FALSE(ReadEntries(Whole(EntryOf(Groups(101)))).ok());
}

TEST(EntryReader, AMessageThatIsCutOffIsRefused) {
  v1::ComputeLossesRequest message;
  message.add_entries()->mutable_request()->set_request_id("some id");
  const std::string bytes = message.SerializeAsString();
  for (size_t size = 1; size < bytes.size(); ++size) {
    EXPECT_THAT(ReadEntries(Whole(bytes.substr(0, size))).status().message(),
                HasSubstr("not a lossd.v1.ComputeLossesRequest"));
  }
}

TEST(EntryReader, EntriesAreBounded) {
  v1::ComputeLossesRequest message;
  for (size_t i = 0; i < kMaxEntries; ++i) message.add_entries();
  EXPECT_EQ(ReadEntries(Whole(message.SerializeAsString()))->size(),
            kMaxEntries);
  message.add_entries();
  EXPECT_THAT(
      ReadEntries(Whole(message.SerializeAsString())).status().message(),
      HasSubstr("at most 16384"));
  // An overlong length takes the other way through the reader.
  EXPECT_THAT(ReadEntries(Whole("\x7a\x80\x00"s + message.SerializeAsString()))
                  .status()
                  .message(),
              HasSubstr("at most 16384"));
}

// Entries cost two bytes each, and far more once they are parsed.
TEST(EntryReader, EntriesAreCountedBeforeTheRestIsParsed) {
  std::string bytes = "\x7a\x80\x00"s;
  for (size_t i = 0; i <= kMaxEntries; ++i) bytes += "\x0a\x00"s;
  EXPECT_THAT(ReadEntries(Whole(bytes + "\x07")).status().message(),
              HasSubstr("at most 16384"));
}

TEST(EntryReader, ATimeoutIsADurationThatIsNotNegative) {
  Entry entry;
  EXPECT_EQ(*TimeoutOf(entry), absl::InfiniteDuration());
  entry.has_timeout = true;
  EXPECT_EQ(*TimeoutOf(entry), absl::ZeroDuration());
  google::protobuf::Duration duration;
  duration.set_nanos(-1);
  entry.timeout = duration.SerializeAsString();
  EXPECT_THAT(TimeoutOf(entry).status().message(), HasSubstr("-1 ns"));
  entry.timeout = "garbage";
  EXPECT_THAT(TimeoutOf(entry).status().message(), HasSubstr("timeout"));
}

}  // namespace
}  // namespace lossd::wire
