#include "client/cpp/message/wire_fields.h"

#include <google/protobuf/unknown_field_set.h>

namespace lossd::client {
namespace {

using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

const UnknownFieldSet& FieldsOf(const google::protobuf::Empty& message) {
  return message.GetReflection()->GetUnknownFields(message);
}

}  // namespace

std::optional<WireFields> WireFields::Parse(const std::string& bytes) {
  WireFields parsed;
  if (!parsed.fields_.ParseFromString(bytes)) return std::nullopt;
  return parsed;
}

std::string WireFields::OneString(int number, const std::string& value) {
  google::protobuf::Empty message;
  message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(
      number, value);
  return message.SerializeAsString();
}

uint64_t WireFields::Varint(int number) const {
  const UnknownFieldSet& fields = FieldsOf(fields_);
  uint64_t value = 0;
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& field = fields.field(i);
    if (field.number() == number && field.type() == UnknownField::TYPE_VARINT) {
      value = field.varint();
    }
  }
  return value;
}

std::vector<std::string> WireFields::Strings(int number) const {
  const UnknownFieldSet& fields = FieldsOf(fields_);
  std::vector<std::string> values;
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& field = fields.field(i);
    if (field.number() == number &&
        field.type() == UnknownField::TYPE_LENGTH_DELIMITED) {
      values.emplace_back(field.length_delimited());
    }
  }
  return values;
}

}  // namespace lossd::client
