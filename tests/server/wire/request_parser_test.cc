#include "server/wire/request_parser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace lossd::wire {
namespace {

using Request = v1::ComputeLossRequest;
using Random = std::mt19937_64;

// Returns a buffer of slices that end at the given places.
grpc::ByteBuffer Cut(const std::string& bytes, std::vector<size_t> cuts) {
  cuts.push_back(0);
  cuts.push_back(bytes.size());
  std::sort(cuts.begin(), cuts.end());
  std::vector<grpc::Slice> slices;
  for (size_t i = 1; i < cuts.size(); ++i) {
    slices.emplace_back(bytes.data() + cuts[i - 1], cuts[i] - cuts[i - 1]);
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

grpc::ByteBuffer CutAtRandom(const std::string& bytes, Random& random) {
  std::vector<size_t> cuts(random() % 6);
  for (size_t& cut : cuts) cut = random() % (bytes.size() + 1);
  return Cut(bytes, cuts);
}

std::string Join(std::span<const kernels::Piece> pieces) {
  std::string all;
  for (const kernels::Piece& piece : pieces) {
    all.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  return all;
}

v1::Tensor* MutableTensor(Request* request, Field field) {
  switch (field) {
    case Field::kLogits:
      return request->mutable_logits();
    case Field::kTargets:
      return request->mutable_targets();
    case Field::kWeights:
      return request->mutable_weights();
    case Field::kPosWeight:
      return request->mutable_pos_weight();
    case Field::kUpstreamGradient:
      return request->mutable_upstream_gradient();
  }
  return nullptr;
}

// Returns the parsed request with the payloads put back, to be compared with
// the message that the generated parser reads from the same bytes.
Request Restored(const RequestParser& parser) {
  Request request = parser.request();
  for (const Field field : kAllFields) {
    if (!TensorOf(request, field).has_data()) {
      EXPECT_TRUE(parser.data(field).empty());
      continue;
    }
    MutableTensor(&request, field)->set_data(Join(parser.data(field)));
  }
  return request;
}

void ExpectAsGenerated(const std::string& bytes, const grpc::ByteBuffer& buffer,
                       RequestParser& parser) {
  Request generated;
  const bool accepted = generated.ParseFromString(bytes);
  const absl::Status status = parser.Parse(buffer);
  ASSERT_EQ(status.ok(), accepted) << status;
  if (!accepted) {
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    return;
  }
  EXPECT_EQ(Restored(parser).SerializeAsString(),
            generated.SerializeAsString());
}

std::string RandomBytes(size_t size, Random& random) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

void FillTensor(v1::Tensor* tensor, Random& random) {
  tensor->set_dtype(static_cast<v1::DataType>(random() % 12));
  for (uint64_t i = random() % 4; i > 0; --i) {
    tensor->add_shape(static_cast<int64_t>(random() >> (random() % 64)));
  }
  switch (random() % 6) {
    case 0:
      tensor->mutable_shared_memory()->set_region("region");
      tensor->mutable_shared_memory()->set_offset(random());
      break;
    case 1:
      tensor->mutable_ones()->add_columns(3);
      tensor->mutable_ones()->add_row_splits(static_cast<int64_t>(random()));
      break;
    case 3:
      tensor->mutable_identity()->set_diagonal(static_cast<int64_t>(random()));
      break;
    case 2:
      tensor->add_values(0.5);
      break;
    default:
      tensor->set_data(RandomBytes(random() % 300, random));
  }
}

std::string RandomRequest(Random& random) {
  Request request;
  if (random() % 2 == 0) request.mutable_spec()->set_loss_weight(2.5);
  for (const Field field : kAllFields) {
    if (random() % 2 == 0) FillTensor(MutableTensor(&request, field), random);
  }
  if (random() % 2 == 0) request.set_request_id("an id");
  return request.SerializeAsString();
}

void Mutate(std::string& bytes, Random& random) {
  if (bytes.empty()) return;
  const size_t at = random() % bytes.size();
  switch (random() % 4) {
    case 0:
      bytes[at] = static_cast<char>(random());
      break;
    case 1:
      bytes.erase(at, random() % 3 + 1);
      break;
    case 2:
      bytes.insert(at, RandomBytes(random() % 3 + 1, random));
      break;
    default:
      bytes.resize(at);
  }
}

// Returns field 2 (logits) with the given bytes as its tensor.
std::string Logits(const std::string& tensor) {
  return std::string("\x12") + static_cast<char>(tensor.size()) + tensor;
}

TEST(RequestParser, FindsPayloadsWhereTheyLie) {
  Request request;
  request.mutable_logits()->set_data(std::string(10000, 'x'));
  const std::string bytes = request.SerializeAsString();
  const grpc::ByteBuffer buffer = Cut(bytes, {5000});
  RequestParser parser;
  ASSERT_TRUE(parser.Parse(buffer).ok());
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(buffer.Dump(&slices).ok());
  ASSERT_EQ(parser.data(Field::kLogits).size(), 2U);
  EXPECT_EQ(static_cast<const void*>(parser.data(Field::kLogits)[1].data()),
            slices[1].begin());
  EXPECT_TRUE(parser.request().logits().data().empty());
}

TEST(RequestParser, FindsAPayloadCutIntoSingleBytes) {
  Request request;
  request.mutable_targets()->set_data("0123456789");
  const std::string bytes = request.SerializeAsString();
  std::vector<size_t> cuts(bytes.size());
  for (size_t i = 0; i < cuts.size(); ++i) cuts[i] = i;
  RequestParser parser;
  ExpectAsGenerated(bytes, Cut(bytes, cuts), parser);
  EXPECT_EQ(Join(parser.data(Field::kTargets)), "0123456789");
}

TEST(RequestParser, AcceptsTheEmptyMessage) {
  RequestParser parser;
  EXPECT_TRUE(parser.Parse(grpc::ByteBuffer()).ok());
  EXPECT_TRUE(parser.Parse(Cut("", {})).ok());
  EXPECT_FALSE(parser.request().has_logits());
}

TEST(RequestParser, MergesAndReplacesAsProtobufDoes) {
  const std::string data_a =
      "\x1a\x01"
      "a";
  const std::string data_bc =
      "\x1a\x02"
      "bc";
  const std::string no_data = std::string("\x1a\x00", 2);
  const std::string memory = std::string("\x2a\x00", 2);
  const std::string dtype = "\x08\x01";
  RequestParser parser;
  for (const std::string& bytes :
       {Logits(data_a) + Logits(data_bc), Logits(data_a + data_bc),
        Logits(data_a + memory), Logits(memory + data_a),
        Logits(data_a) + Logits(memory), Logits(data_a) + Logits(dtype),
        Logits(data_a) + Logits(no_data), Logits(""), Logits(no_data)}) {
    SCOPED_TRACE(testing::PrintToString(bytes));
    ExpectAsGenerated(bytes, Cut(bytes, {1}), parser);
  }
}

TEST(RequestParser, ReadsUnusualFormsAsTheGeneratedParserDoes) {
  const std::string overlong_length = std::string(
      "\x12\x83\x00\x1a\x01"
      "a",
      6);
  const std::string overlong_tag = std::string(
      "\x92\x00\x03\x1a\x01"
      "a",
      6);
  const std::string group = "\x13\x14";
  const std::string unended_group = "\x13";
  const std::string field_zero = std::string("\x02\x00", 2);
  const std::string huge_length = "\x12\xff\xff\xff\xff\x0f";
  const std::string length_of_64_bits =
      "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
  const std::string data_over_the_tensor =
      "\x12\x03\x1a\x05"
      "abcdef";
  const std::string tensor_as_varint = "\x10\x05";
  const std::string unknown_field =
      "\xfa\x07\x03"
      "abc";
  const std::string long_varint =
      "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
  const std::string bad_utf8 = "\x42\x02\xff\xfe";
  RequestParser parser;
  for (const std::string& bytes :
       {overlong_length, overlong_tag, group, unended_group, field_zero,
        huge_length, length_of_64_bits, data_over_the_tensor, tensor_as_varint,
        unknown_field, long_varint, bad_utf8}) {
    SCOPED_TRACE(testing::PrintToString(bytes));
    ExpectAsGenerated(bytes, Cut(bytes, {}), parser);
  }
}

TEST(RequestParser, RejectsEveryTruncationThatTheGeneratedParserRejects) {
  Random random(11);
  const std::string whole = RandomRequest(random);
  RequestParser parser;
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string bytes = whole.substr(0, size);
    ExpectAsGenerated(bytes, CutAtRandom(bytes, random), parser);
  }
}

TEST(RequestParser, AgreesWithTheGeneratedParserOnMutatedRequests) {
  Random random(7);
  RequestParser
      parser;  // one for all: no request may leave a trace in the next
  for (int round = 0; round < 20000; ++round) {
    SCOPED_TRACE(testing::Message() << "round " << round);
    std::string bytes = RandomRequest(random);
    if (random() % 4 == 0) bytes += RandomRequest(random);
    for (uint64_t i = random() % 4; i > 0; --i) Mutate(bytes, random);
    ExpectAsGenerated(bytes, CutAtRandom(bytes, random), parser);
    if (testing::Test::HasFailure()) break;
  }
}

TEST(RequestParser, MeasuresTheMemoryOfDecodedLists) {
  Request request;
  request.mutable_logits()->set_data(std::string(100000, '\0'));
  request.mutable_targets()->set_data(std::string(100000, '\0'));
  RequestParser parser;
  ASSERT_TRUE(parser.Parse(Cut(request.SerializeAsString(), {})).ok());
  EXPECT_EQ(parser.decoded_bytes(), 0U);

  constexpr size_t kColumns = 1 << 20;
  for (size_t i = 0; i < kColumns; ++i) {
    request.mutable_targets()->mutable_ones()->add_columns(1);
  }
  const std::string bytes = request.SerializeAsString();
  ASSERT_LT(bytes.size(), 2 * kColumns);
  ASSERT_TRUE(parser.Parse(Cut(bytes, {})).ok());
  EXPECT_GE(parser.decoded_bytes(), kColumns * sizeof(int64_t));
  EXPECT_LE(parser.decoded_bytes(), 5 * kColumns * sizeof(int64_t));
  parser.Clear();
  EXPECT_EQ(parser.decoded_bytes(), 0U);
}

TEST(RequestParser, MeasuresUnknownFieldsAndTheFallback) {
  std::string unknown;  // field 100, varint 1: three bytes on the wire
  for (int i = 0; i < 100000; ++i) unknown += "\xa0\x06\x01";
  RequestParser parser;
  ASSERT_TRUE(parser.Parse(Cut(unknown, {})).ok());
  EXPECT_GT(parser.decoded_bytes(), unknown.size());

  Request request;
  request.mutable_logits()->set_data(std::string(100000, '\0'));
  // The walk leaves a message with a group to the generated parser, which
  // copies the data.
  ASSERT_TRUE(
      parser.Parse(Cut(request.SerializeAsString() + "\xa3\x06\xa4\x06", {}))
          .ok());
  EXPECT_GT(parser.decoded_bytes(), 100000U);
}

// Hundreds of parsers wait for requests. One large request to each of them must
// not cost memory for good.
TEST(RequestParser, KeepsLittleMemoryAfterALargeRequest) {
  constexpr size_t kLarge = 1 << 20;
  Request request;
  request.set_request_id(std::string(kLarge, 'x'));
  for (size_t i = 0; i < kLarge / sizeof(double); ++i) {
    request.mutable_logits()->add_values(0);
  }
  request.mutable_targets()->set_data(std::string(kLarge, '\0'));
  const std::string bytes = request.SerializeAsString();
  std::vector<size_t> cuts;  // many slices, many pieces
  for (size_t at = 0; at < bytes.size(); at += 100) cuts.push_back(at);
  RequestParser parser;
  ASSERT_TRUE(parser.Parse(Cut(bytes, cuts)).ok());
  EXPECT_GT(parser.kept_bytes(), kLarge / 2);
  parser.Clear();
  EXPECT_LT(parser.kept_bytes(), kLarge / 4);
}

}  // namespace
}  // namespace lossd::wire
