#include "server/wire/entry_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "lossd/v1/loss_service.pb.h"

namespace lossd::wire {
namespace {

using ::testing::HasSubstr;

std::string RequestOf(const Entry& entry) {
  std::string request;
  for (const grpc::Slice& slice : entry.request) {
    request.append(slice.begin(), slice.end());
  }
  return request;
}

grpc::ByteBuffer Whole(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Returns `bytes` in slices that end at random places.
grpc::ByteBuffer InSlices(const std::string& bytes, std::mt19937& random) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = random() % 40;
    slices.emplace_back(bytes.substr(at, size));
    at += size;
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
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
