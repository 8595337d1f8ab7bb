#include "client/cpp/message/answer_reader.h"

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

}  // namespace
}  // namespace lossd::client
