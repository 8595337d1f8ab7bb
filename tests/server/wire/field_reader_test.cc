#include "server/wire/field_reader.h"

#include <google/protobuf/empty.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace lossd::wire {
namespace {

using google::protobuf::Empty;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;
using std::string_literals::operator""s;

std::string Text(uint32_t number, uint64_t varint) {
  return absl::StrCat(number, "=", varint);
}
std::string Text(uint32_t number, absl::string_view bytes) {
  return absl::StrCat(number, ":", bytes);
}

// Returns the varints and the bytes of a message, or "garbage".
std::vector<std::string> Read(const std::string& bytes) {
  std::vector<std::string> fields;
  FieldReader reader(bytes);
  while (const std::optional<Field> field = reader.Next()) {
    const uint32_t number = field->tag.number;
    if (field->tag.type == kVarint) {
      fields.push_back(Text(number, field->varint));
    }
    if (field->tag.type == kLength)
      fields.push_back(Text(number, field->bytes));
  }
  if (!reader.ok()) return {"garbage"};
  return fields;
}

// Returns the same, read by the generated parser of a message without fields.
std::vector<std::string> Generated(const std::string& bytes) {
  Empty message;
  if (!message.ParseFromString(bytes)) return {"garbage"};
  std::vector<std::string> fields;
  const UnknownFieldSet& unknown =
      message.GetReflection()->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    const UnknownField& field = unknown.field(i);
    const auto number = static_cast<uint32_t>(field.number());
    if (field.type() == UnknownField::TYPE_VARINT) {
      fields.push_back(Text(number, field.varint()));
    }
    if (field.type() == UnknownField::TYPE_LENGTH_DELIMITED) {
      fields.push_back(Text(number, field.length_delimited()));
    }
  }
  return fields;
}

std::string Groups(size_t count) {
  return std::string(count, '\x7b') + std::string(count, '\x7c');
}

TEST(FieldReader, ReadsOddFormsAsTheGeneratedParserDoes) {
  for (const std::string& bytes : {
           ""s,
           "\x08\x05"s,
           "\x08\x80\x80\x00"s,                              // long for 0
           "\x88\x80\x80\x80\x00\x07"s,                      // a long tag
           "\x88\x80\x80\x80\x70\x07"s,                      // with lost bits
           "\x88\x80\x80\x80\x80\x00\x07"s,                  // too long
           "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"s,  // 70 bits
           "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s,
           "\x0a\x82\x80\x80\x80\x00xy"s,  // a long length
           "\x0a\x82\x80\x80\x80\x80\x00xy"s,
           "\x0a\x82\x80\x80\x80\x08xy"s,  // 2 GiB
           "\x0a\x03xy"s,                  // cut off
           "\x09\x01\x02\x03\x04\x05\x06\x07"s,
           "\x0d\x01\x02\x03"s,
           "\x00\x00"s,  // number 0
           "\x0e\x00"s,  // type 6
           "\x0c"s,      // ends no group
           "\x0b\x08\x01\x0c\x10\x02"s,
           "\x0b\x08\x01\x14"s,  // ends another
           "\x0b\x04"s,
           "\x0b\x00"s,
           Groups(100),
           Groups(101),
       }) {
    EXPECT_EQ(Read(bytes), Generated(bytes)) << ::testing::PrintToString(bytes);
    EXPECT_EQ(IsMessage(bytes), Empty().ParseFromString(bytes));
  }
}

TEST(FieldReader, ReadsRandomBytesAsTheGeneratedParserDoes) {
  std::mt19937 random(5);
  const std::string likely =
      "\x08\x0a\x0b\x0c\x0d\x09\x12\x13\x14\x01\x00\x80"s;
  int messages = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string bytes;
    for (uint32_t size = random() % 14; size > 0; --size) {
      bytes += random() % 4 != 0 ? likely[random() % likely.size()]
                                 : static_cast<char>(random());
    }
    const std::vector<std::string> expected = Generated(bytes);
    ASSERT_EQ(Read(bytes), expected) << ::testing::PrintToString(bytes);
    if (expected != std::vector<std::string>{"garbage"}) ++messages;
  }
  EXPECT_GT(messages, 20'000);
}

}  // namespace
}  // namespace lossd::wire
