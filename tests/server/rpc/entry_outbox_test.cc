#include "server/rpc/entry_outbox.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace lossd::rpc {
namespace {

EntryAnswer AnswerOf(uint64_t id, std::string bytes) {
  EntryAnswer answer{.id = id};
  answer.bytes.tail() = std::move(bytes);
  return answer;
}

std::string Text(const grpc::ByteBuffer& message) {
  grpc::Slice flat;
  EXPECT_TRUE(message.DumpToSingleSlice(&flat).ok());
  return {flat.begin(), flat.end()};
}

class EntryOutboxTest : public testing::Test {
 protected:
  // Returns the ids in the message that is being written.
  std::vector<uint64_t> Written() {
    std::vector<uint64_t> ids;
    for (const EntryAnswer& answer : outbox_.in_message()) {
      ids.push_back(answer.id);
    }
    return ids;
  }

  EntryOutbox outbox_;
};

using Ids = std::vector<uint64_t>;

TEST(KeptText, IsBounded) {
  EXPECT_EQ(KeptText("step 7"), "step 7");
  EXPECT_EQ(KeptText(std::string(1 << 20, 'x')).size(), 1024U);
}

TEST_F(EntryOutboxTest, WritesWhatIsReadyInOneMessage) {
  EXPECT_TRUE(outbox_.empty());
  outbox_.Add(AnswerOf(1, "a"));
  outbox_.Add(AnswerOf(2, "bc"));
  EXPECT_TRUE(outbox_.has_ready());
  EXPECT_FALSE(outbox_.writing());
  EXPECT_EQ(Text(outbox_.NextMessage()), "abc");
  EXPECT_EQ(Written(), (Ids{1, 2}));
  EXPECT_FALSE(outbox_.has_ready());
  EXPECT_TRUE(outbox_.writing());
  EXPECT_EQ(outbox_.size(), 2U);
}

TEST_F(EntryOutboxTest, GathersWhileAMessageIsWritten) {
  outbox_.Add(AnswerOf(1, "a"));
  outbox_.NextMessage();
  outbox_.Add(AnswerOf(2, "b"));
  outbox_.Add(AnswerOf(3, "c"));
  EXPECT_EQ(outbox_.size(), 3U);
  EXPECT_EQ(Written(), Ids{1});
  outbox_.EndMessage();
  EXPECT_FALSE(outbox_.writing());
  EXPECT_EQ(Text(outbox_.NextMessage()), "bc");
  outbox_.EndMessage();
  EXPECT_TRUE(outbox_.empty());
}

TEST_F(EntryOutboxTest, ClosesAFullMessage) {
  const std::string half(EntryOutbox::kFullMessageBytes / 2, 'x');
  outbox_.Add(AnswerOf(1, half));
  outbox_.Add(AnswerOf(2, half));
  outbox_.Add(AnswerOf(3, "y"));
  EXPECT_EQ(outbox_.NextMessage().Length(), EntryOutbox::kFullMessageBytes);
  EXPECT_EQ(Written(), (Ids{1, 2}));
  outbox_.EndMessage();
  EXPECT_EQ(Text(outbox_.NextMessage()), "y");
}

TEST_F(EntryOutboxTest, WritesALargeAnswerAlone) {
  const std::string large(2 * EntryOutbox::kFullMessageBytes, 'x');
  outbox_.Add(AnswerOf(1, large));
  outbox_.Add(AnswerOf(2, "y"));
  EXPECT_EQ(Text(outbox_.NextMessage()), large);
  EXPECT_EQ(Written(), Ids{1});
}

TEST_F(EntryOutboxTest, TellsThatALargeMessageGoesOut) {
  outbox_.Add(AnswerOf(1, std::string(EntryOutbox::kFullMessageBytes, 'x')));
  {
    const grpc::ByteBuffer message = outbox_.NextMessage();
    EXPECT_FALSE(outbox_.HasMoved());
  }
  EXPECT_TRUE(outbox_.HasMoved());
  EXPECT_FALSE(outbox_.HasMoved());
}

// The client may act on the answer before its permit is given back.
TEST_F(EntryOutboxTest, MarksPermitsAsAnsweredAndHoldsThem) {
  admission::AdmissionController admission({});
  admission::Refusal refusal{};
  EntryAnswer answer = AnswerOf(1, "a");
  answer.permit = *admission.Admit(5, /*flow=*/3, absl::InfiniteFuture(),
                                   absl::Now(), absl::ZeroDuration(), &refusal);
  outbox_.Add(std::move(answer));
  EXPECT_EQ(admission.held_by(3).answered, 1);
  outbox_.NextMessage();
  EXPECT_EQ(admission.inflight_bytes(), 5);
  outbox_.EndMessage();
  EXPECT_EQ(admission.inflight_bytes(), 0);
}

TEST_F(EntryOutboxTest, GivesUpWhatWillNotBeWritten) {
  outbox_.Add(AnswerOf(1, "a"));
  outbox_.NextMessage();
  outbox_.Add(AnswerOf(2, "b"));
  EXPECT_EQ(outbox_.TakeReady().front().id, 2U);
  EXPECT_FALSE(outbox_.has_ready());
  EXPECT_EQ(Written(), Ids{1});
}

}  // namespace
}  // namespace lossd::rpc
