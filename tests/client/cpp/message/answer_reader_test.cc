#include "client/cpp/message/answer_reader.h"

#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "client/cpp/message/reply_reader.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {
namespace {

// Returns `bytes` in slices of random sizes up to `most`.
grpc::ByteBuffer Cut(const std::string& bytes, size_t most,
                     std::mt19937& random) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = std::min(bytes.size() - at, 1 + random() % most);
    slices.emplace_back(bytes.data() + at, size);
    at += size;
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

v1::ComputeLossesResponse Sample() {
  v1::ComputeLossesResponse message;
  uint64_t id = 0;
  for (const size_t elements : {3U, 10000U, 0U, 60000U, 7U}) {
    auto& entry = *message.add_entries();
    entry.set_id(++id << 20);
    entry.mutable_response()->set_loss(static_cast<double>(elements));
    v1::Tensor& gradient = *entry.mutable_response()->mutable_gradient();
    gradient.add_shape(static_cast<int64_t>(elements));
    gradient.set_data(std::string(4 * elements, static_cast<char>(id)));
  }
  auto& failed = *message.add_entries();
  failed.set_id(77);
  failed.mutable_failure()->set_code(8);
  failed.mutable_failure()->set_message("full");
  failed.mutable_failure()->mutable_retry_delay()->set_seconds(2);
  return message;
}

TEST(AnswerReaderTest, ReadsEveryAnswerHoweverTheMessageIsCut) {
  std::mt19937 random(5);
  const v1::ComputeLossesResponse message = Sample();
  const std::string bytes = message.SerializeAsString();
  for (const size_t most : {30U, 1000U, 20000U, 1000000U}) {
    for (int trial = 0; trial < 20; ++trial) {
      auto answers = ReadAnswers(Cut(bytes, most, random));
      ASSERT_TRUE(answers.ok()) << answers.status();
      ASSERT_EQ(answers->size(), 6U);
      for (int i = 0; i < 5; ++i) {
        const EntryAnswer& answer = (*answers)[static_cast<size_t>(i)];
        const auto& expected = message.entries(i);
        EXPECT_EQ(answer.id, expected.id());
        auto result = ReadReply(answer.response);
        ASSERT_TRUE(result.ok()) << result.status();
        EXPECT_EQ(result->loss, expected.response().loss());
        const auto got = result->gradient->Contiguous();
        EXPECT_EQ(
            std::string(reinterpret_cast<const char*>(got.data()), got.size()),
            expected.response().gradient().data());
      }
      EXPECT_EQ(answers->back().id, 77U);
      EXPECT_TRUE(absl::IsResourceExhausted(answers->back().status));
      EXPECT_EQ(answers->back().retry_delay, absl::Seconds(2));
    }
  }
}

// Adds one field of each wire type to a message, under numbers that it has not.
void AddUnknownFields(google::protobuf::Message* message) {
  auto& fields = *message->GetReflection()->MutableUnknownFields(message);
  fields.AddVarint(11, 1);
  fields.AddFixed32(12, 2);
  fields.AddFixed64(13, 3);
  fields.AddLengthDelimited(14, "four");
  auto& group = *fields.AddGroup(1000);
  group.AddFixed32(1, 6);
  group.AddGroup(1000)->AddVarint(2, 7);
}

TEST(AnswerReaderTest, SkipsUnknownFieldsOfEveryWireType) {
  std::mt19937 random(4);
  v1::ComputeLossesResponse message = Sample();
  for (auto& entry : *message.mutable_entries()) AddUnknownFields(&entry);
  AddUnknownFields(&message);
  const std::string bytes = message.SerializeAsString();
  for (const size_t most : {1U, 30U, 20000U, 1000000U}) {
    const auto answers = ReadAnswers(Cut(bytes, most, random));
    ASSERT_TRUE(answers.ok()) << answers.status();
    ASSERT_EQ(answers->size(), 6U);
    EXPECT_EQ((*answers)[3].id, message.entries(3).id());
    EXPECT_EQ(ReadReply((*answers)[3].response)->gradient->byte_size(),
              240000U);
    EXPECT_TRUE(absl::IsResourceExhausted(answers->back().status));
  }
}

// The second response of an entry is merged with the first, and an outcome of
// the other kind replaces it.
TEST(AnswerReaderTest, OutcomesThatComeAgainCountAsProtobufSays) {
  std::mt19937 random(6);
  v1::ComputeLossesResponse::Entry first;
  first.set_id(3);
  first.mutable_response()->set_loss(5);
  v1::ComputeLossesResponse::Entry second;
  second.mutable_response()->set_valid_count(9);
  v1::ComputeLossesResponse::Entry failed;
  failed.mutable_failure()->set_code(8);
  const auto read = [&](const std::string& entry) {
    const std::string message = {'\x0a', static_cast<char>(entry.size())};
    auto answers = ReadAnswers(Cut(message + entry, 5, random));
    EXPECT_TRUE(answers.ok()) << answers.status();
    return std::move(answers->at(0));
  };
  const std::string both =
      first.SerializeAsString() + second.SerializeAsString();
  const auto merged = ReadReply(read(both).response);
  EXPECT_EQ(merged->loss, 5);
  EXPECT_EQ(merged->valid_count, 9);
  const std::string failure = failed.SerializeAsString();
  EXPECT_TRUE(absl::IsResourceExhausted(read(both + failure).status));
  EXPECT_TRUE(read(failure + both).status.ok());
}

TEST(AnswerReaderTest, AnEmptyMessageHasNoAnswers) {
  const auto answers = ReadAnswers(grpc::ByteBuffer());
  ASSERT_TRUE(answers.ok());
  EXPECT_TRUE(answers->empty());
}

TEST(AnswerReaderTest, AFailureWithoutACodeIsInternal) {
  v1::ComputeLossesResponse message;
  message.add_entries()->mutable_failure();
  std::mt19937 random(1);
  const auto answers = ReadAnswers(Cut(message.SerializeAsString(), 9, random));
  ASSERT_TRUE(answers.ok());
  EXPECT_TRUE(absl::IsInternal(answers->front().status));
}

TEST(AnswerReaderTest, TruncatedBytesAreInternal) {
  std::mt19937 random(2);
  const std::string bytes = Sample().SerializeAsString();
  for (int trial = 0; trial < 200; ++trial) {
    const size_t size = 1 + random() % (bytes.size() - 1);
    const auto answers = ReadAnswers(Cut(bytes.substr(0, size), 5000, random));
    // A message may end between two entries.
    if (answers.ok()) {
      EXPECT_LT(answers->size(), 6U);
    } else {
      EXPECT_TRUE(absl::IsInternal(answers.status()));
    }
  }
}

// Random changes must not make the reader read beyond the bytes, which the
// address sanitizer sees.
TEST(AnswerReaderTest, SurvivesGarbage) {
  const google::protobuf::LogSilencer quiet;  // it logs what it refuses
  std::mt19937 random(3);
  const std::string good = Sample().SerializeAsString().substr(0, 200);
  for (int trial = 0; trial < 5000; ++trial) {
    std::string bytes = good;
    for (int i = 0; i < 3; ++i) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto answers = ReadAnswers(Cut(bytes, 300, random));
    if (!answers.ok()) continue;
    for (const EntryAnswer& answer : *answers) {
      ReadReply(answer.response).status().IgnoreError();
    }
  }
}

// Appends a field: half of the time an entry or an outcome, else one of a
// random number and wire type.
void AppendRandomField(int depth, std::mt19937& random, std::string* bytes) {
  constexpr uint32_t kTypes[] = {0, 1, 2, 3, 5};
  uint32_t type = kTypes[random() % (depth < 3 ? 5 : 3)];
  uint32_t number = 1 + static_cast<uint32_t>(random() % 5);
  if (depth < 2 && random() % 2 == 0) {
    type = 2;
    number = depth == 0 ? 1 : 2 + static_cast<uint32_t>(random() % 2);
  }
  *bytes += static_cast<char>(number << 3 | type);
  if (type == 0) *bytes += static_cast<char>(random() % 128);
  if (type == 1) *bytes += std::string(8, 'd');
  if (type == 5) *bytes += std::string(4, 'f');
  if (type == 2 || type == 3) {
    std::string inner;
    for (size_t i = random() % 4; i > 0; --i) {
      AppendRandomField(depth + 1, random, &inner);
    }
    if (type == 2) *bytes += static_cast<char>(inner.size() % 128);
    *bytes += type == 2 ? inner.substr(0, 127) : inner;
    if (type == 3) *bytes += static_cast<char>(number << 3 | 4);
  }
}

// Expects the entries that the generated parser reads.
void ExpectEntries(const v1::ComputeLossesResponse& expected,
                   const std::vector<EntryAnswer>& answers) {
  ASSERT_EQ(answers.size(), static_cast<size_t>(expected.entries_size()));
  for (int i = 0; i < expected.entries_size(); ++i) {
    const auto& entry = expected.entries(i);
    const EntryAnswer& answer = answers[static_cast<size_t>(i)];
    EXPECT_EQ(answer.id, entry.id());
    EXPECT_EQ(answer.status.ok(), entry.has_response());
    if (!entry.has_response()) {
      EXPECT_EQ(answer.status.message(), entry.failure().message());
      continue;
    }
    std::string response;
    for (const grpc::Slice& slice : answer.response) {
      response.append(slice.begin(), slice.end());
    }
    v1::ComputeLossResponse parsed;
    ASSERT_TRUE(parsed.ParseFromString(response));
    EXPECT_EQ(parsed.SerializeAsString(), entry.response().SerializeAsString());
  }
}

TEST(AnswerReaderTest, ReadsRandomFieldsAsTheGeneratedParserDoes) {
  const google::protobuf::LogSilencer quiet;  // it logs what it refuses
  std::mt19937 random(7);
  int good = 0;
  for (int trial = 0; trial < 50000; ++trial) {
    std::string bytes;
    for (size_t i = 1 + random() % 3; i > 0; --i) {
      AppendRandomField(0, random, &bytes);
    }
    if (trial % 2 == 0) bytes[random() % bytes.size()] ^= 1 << random() % 8;
    v1::ComputeLossesResponse expected;
    const bool parses = expected.ParseFromString(bytes);
    const auto answers = ReadAnswers(Cut(bytes, 1 + random() % 60, random));
    bool answered = true;
    for (const auto& entry : expected.entries()) {
      answered &= entry.outcome_case() != entry.OUTCOME_NOT_SET;
    }
    if (!parses || !answered) continue;
    ASSERT_TRUE(answers.ok()) << testing::PrintToString(bytes);
    ExpectEntries(expected, *answers);
    good += expected.entries_size();
  }
  EXPECT_GT(good, 5000);
}

}  // namespace
}  // namespace lossd::client
